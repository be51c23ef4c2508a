"""A network, and the thread that runs one batch of it after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lrn_deploy.serving.batching.delivery import together
from lrn_deploy.serving.batching.job import Job, Outcome, Timing
from lrn_deploy.serving.batching.ledger import Ledger
from lrn_deploy.serving.batching.rows import join, split
from lrn_deploy.serving.batching.runner import Runner
from lrn_deploy.serving.errors import AbandonedError, InferenceError, UnavailableError


class Instance:
    """One network and the thread that runs it.

    Args:
        runner: The network.
        index: Its number.
        make_runner: Makes it anew when it has failed.
        ledger: Where what happens is noted.
        next_batch: Waits for a batch for it; empty at the end.
        lost: Called when it is gone for good.
    """

    def __init__(
        self,
        runner: Runner,
        index: int,
        make_runner: Callable[[], Runner],
        ledger: Ledger,
        next_batch: Callable[[Instance], list[Job]],
        lost: Callable[[], None],
    ) -> None:
        self.runner = runner
        self._make_runner = make_runner
        self._ledger = ledger
        self._next_batch = next_batch
        self._lost = lost
        self.alive = True
        self.taken = False
        """Whether a thread, its own or an event loop's, has a batch for it."""
        self.batch: list[Job] = []
        self.answers: list[tuple[Job, Outcome]] = []
        """Of the batch before, not delivered yet."""
        self.busy_since: int | None = None
        self._lock = threading.Lock()
        self.thread = threading.Thread(target=self._work, name=f"batcher-{index}", daemon=True)

    def abandon(self, message: str) -> None:
        """Answer what is running with 503 and never use this instance again."""
        with self._lock:
            self.alive = False
            batch, self.batch = self.batch, []
        for job in batch:
            self._ledger.fail(job, AbandonedError(message))

    def _work(self) -> None:
        while self.alive and (batch := self._next_batch(self)):
            self.run(batch)
            self.taken = False
        self.deliver()
        if self.alive:
            self.runner.close()

    def run(self, batch: list[Job]) -> None:
        """Run a batch; :meth:`deliver` then gives each request its answer.

        The instance must be taken. Whoever gets an answer competes for the interpreter with this
        thread. So the answers of one batch go out when the next has been put together: during its
        run, this thread does not need the interpreter.
        """
        self.batch = batch
        started = self.busy_since = time.monotonic_ns()
        try:
            feeds = join(batch)
            late = [job for job in batch if job.late(time.monotonic_ns())]
            if late:
                self._drop(late)
                if not self.batch:
                    return
                feeds = join(self.batch)
            self.deliver()
            joined = time.monotonic_ns()
            outputs = self.runner.run(feeds)
            ran = time.monotonic_ns()
            parts = split(outputs, self.batch)
        except Exception as error:  # whatever the network raises, its callers must hear of it
            self._failed(error)
            return
        finally:
            self.busy_since = None
        with self._lock:
            batch, self.batch = self.batch, []
        if not batch:  # given up meanwhile
            return
        rows = sum(job.rows for job in batch)
        done = time.monotonic_ns()
        self._ledger.ran(rows, done - started)
        timings = [
            Timing(
                started - job.arrived, joined - started, ran - joined, done - ran, rows, job.arrived
            )
            for job in batch
        ]
        self._ledger.statistics.record_batch(timings, [done - job.arrived for job in batch])
        outcomes = (Outcome(part, timing) for part, timing in zip(parts, timings, strict=True))
        with self._lock:
            self.answers = list(zip(batch, outcomes, strict=True))

    def deliver(self) -> None:
        """Give the requests of the batch before their answers."""
        with self._lock:
            answers, self.answers = self.answers, []
        with together():
            for job, outcome in answers:
                job.future.set_result(outcome)

    def _drop(self, late: list[Job]) -> None:
        with self._lock:
            self.batch = [job for job in self.batch if job not in late]
        for job in late:
            self._ledger.fail(job, UnavailableError("Request timeout expired before it ran."))

    def _failed(self, error: Exception) -> None:
        """Tell the callers, and make the network anew: nobody knows what state it is in."""
        with self._lock:
            batch, self.batch = self.batch, []
        for job in batch:
            self._ledger.fail(job, InferenceError(f"The network failed: {error}"))
        if not batch:
            return
        try:
            self._ledger.least.clear()
            self.runner.close()
            self.runner = self._make_runner()
        except Exception:  # it is gone for good, whatever the reason
            self.alive = False
            self._lost()

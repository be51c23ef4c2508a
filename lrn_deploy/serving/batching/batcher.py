"""One queue in front of one network; a thread for each instance of it forms batches and runs them.

Rows never mix: a batch is the requests' rows one after the other, and each request gets the rows
back that stand where its own stood. A network that answers with another number of rows fails the
batch.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from lrn_deploy.serving.batching.instance import Instance
from lrn_deploy.serving.batching.job import Job, Outcome
from lrn_deploy.serving.batching.ledger import Ledger
from lrn_deploy.serving.batching.policy import LatencyModel, Policy
from lrn_deploy.serving.batching.queue import PendingQueue
from lrn_deploy.serving.batching.runner import Runner
from lrn_deploy.serving.batching.statistics import Statistics
from lrn_deploy.serving.errors import (
    AbandonedError,
    ClosedError,
    UnavailableError,
)


class Batcher:
    """Runs requests together.

    Args:
        make_runner: Makes an instance of the network; called again when one has failed.
        runners: The instances there are already, one thread for each.
        policy: When a batch leaves and how large it is.
        queue: Where requests wait.
        statistics: What counts them.
        hang_seconds: After how long a run is given up; 0: never.
        here_seconds: A batch that has taken less than this runs on the thread of the event loop
            that its requests came from: to wake another, and be woken by it, takes longer.
        on_change: Called, from any thread, when the number of live instances has changed.
    """

    def __init__(
        self,
        make_runner: Callable[[], Runner],
        runners: list[Runner],
        policy: Policy,
        queue: PendingQueue,
        statistics: Statistics,
        *,
        hang_seconds: float = 0,
        here_seconds: float = 0,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.statistics = statistics
        self._ledger = Ledger(statistics)
        self._policy = policy
        self._queue = queue
        self._hang_ns = int(hang_seconds * 1e9)
        self._here_ns = int(here_seconds * 1e9)
        self._on_change = on_change
        self._changed = threading.Condition()
        self._closing = False
        self._called: asyncio.AbstractEventLoop | None = None
        self._instances = [
            Instance(runner, index, make_runner, self._ledger, self._next_batch, self._lost)
            for index, runner in enumerate(runners)
        ]
        for instance in self._instances:
            instance.thread.start()

    @property
    def latency(self) -> LatencyModel:
        """How long the network takes."""
        return self._ledger.latency

    @property
    def alive(self) -> int:
        """Instances that can still run something."""
        return sum(instance.alive for instance in self._instances)

    @property
    def pending(self) -> PendingQueue:
        """The queue; look, don't touch."""
        return self._queue

    @property
    def running(self) -> int:
        """Requests whose batch is running now."""
        return sum(len(instance.batch) for instance in self._instances)

    def refuse_if_full(self, caller: str = "") -> None:
        """What :meth:`submit` would do to any request of a caller; cheap, before a body is read.

        Raises:
            UnavailableError: If the queue is full.
        """
        with self._changed:
            admitted = self._queue.admits(caller)
        if not admitted:
            self.statistics.record_failure("REJECTED")
            raise UnavailableError(
                f"Exceeds maximum queue size: {self._queue.requests} requests are waiting. "
                "Try again later."
            )

    def expected_wait(self) -> float:
        """Nanoseconds that a new request will wait for those before it, as far as is known."""
        return self.latency(self._queue.rows) / max(1, self.alive)

    def submit(self, job: Job) -> None:
        """Queue a job; its future gets the outcome or a :class:`RequestError`.

        Raises:
            ClosedError: If this batcher takes no more requests.
            UnavailableError: If the queue is full, the deadline has passed or would pass before
                the job's turn, or no instance is left.
        """
        try:
            with self._changed:
                if self._closing:
                    raise ClosedError("This model is being unloaded.")
                if not self.alive:
                    raise AbandonedError("No instance of this model is left that can run.")
                if job.deadline is not None:
                    left = job.deadline - time.monotonic_ns()
                    if left <= 0:
                        raise UnavailableError("Request timeout expired before it was queued.")
                    if self._queue.requests and self.expected_wait() > left:
                        raise UnavailableError(
                            "Request timeout would expire in the queue, where "
                            f"{self._queue.requests} requests wait for about "
                            f"{self.expected_wait() / 1e6:.0f} ms."
                        )
                displaced = self._queue.put(job)
                job.future.add_done_callback(self._count_cancelled)
            self._wake()
            for gone in displaced:
                self._ledger.fail(
                    gone, UnavailableError("The queue is full; another client's turn came.")
                )
        except ClosedError:
            raise  # not counted: a newer instance will take it
        except UnavailableError as error:
            self.statistics.record_failure(error.reason)
            raise

    def close(self, timeout: float | None = None) -> bool:
        """Take no more requests, finish those there are, and release the network.

        Args:
            timeout: Seconds to wait for that; what is left then gets a 503.

        Returns:
            Whether everything was finished in time.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        limit = None if timeout is None else time.monotonic() + timeout
        for instance in self._instances:
            if instance.alive:
                instance.thread.join(None if limit is None else max(0, limit - time.monotonic()))
        finished = not any(
            instance.alive and instance.thread.is_alive() for instance in self._instances
        )
        if not finished:
            for instance in self._instances:
                instance.abandon("The server is stopping.")
        self._fail_queued("The server is stopping.")
        return finished

    def check_hangs(self) -> None:
        """Give up instances whose run takes longer than ``hang_seconds``."""
        if not self._hang_ns:
            return
        now = time.monotonic_ns()
        for instance in self._instances:
            since = instance.busy_since
            if instance.alive and since is not None and now - since > self._hang_ns:
                instance.abandon(f"The network has not answered for {self._hang_ns / 1e9:g} s.")
                self._lost()

    def _wake(self) -> None:
        """See to what was queued.

        A thread that an event loop wakes can do nothing before the loop lets go of the interpreter.
        So the loop does it last, once for all requests that have come together.
        """
        loop = asyncio._get_running_loop()
        if loop is None:
            with self._changed:
                self._changed.notify()
        elif loop is not self._called:
            self._called = loop
            loop.call_soon(self._run_here_or_notify)

    def _run_here_or_notify(self) -> None:
        """Run a batch on the event loop's thread if that takes less than waking another."""
        self._called = None
        with self._changed:
            free = (known for known in self._instances if not known.taken and known.alive)
            instance = next(free, None)
            if instance is None:
                return  # whoever has one looks at the queue again
            rows = self._quick_rows()
            batch, late = self._queue.take(rows, time.monotonic_ns()) if rows else ([], [])
            instance.taken = bool(batch)
            if not rows:
                self._changed.notify(max(1, self._queue.requests))
        self._fail_late(late)
        if batch:
            instance.run(batch)
            instance.deliver()
            with self._changed:
                instance.taken = False
                if self._closing:
                    self._changed.notify_all()
        if rows and self._queue:
            self._wake()

    def _quick_rows(self) -> int:
        """Rows that may run now and never took long where nothing disturbed them; else 0."""
        front = self._queue.front(self._policy.max_rows)
        if front is None:
            return 0
        decision = self._policy.decide(front, time.monotonic_ns(), self.latency)
        quick = (
            self._ledger.least.get(min(front.rows, decision.rows), self._here_ns) < self._here_ns
        )
        return decision.rows if quick and decision.wait <= 0 else 0

    def _fail_late(self, late: list[Job]) -> None:
        for job in late:
            self._ledger.fail(job, UnavailableError("Request timeout expired in the queue."))

    def _count_cancelled(self, future: Future[Outcome]) -> None:
        if future.cancelled():
            self.statistics.record_failure("CANCELED")

    def _lost(self) -> None:
        if not self.alive:
            self._fail_queued("No instance of this model is left that can run.")
        self._on_change()

    def _fail_queued(self, message: str) -> None:
        with self._changed:
            jobs = self._queue.clear()
        for job in jobs:
            self._ledger.fail(job, AbandonedError(message))

    def _next_batch(self, instance: Instance) -> list[Job]:
        """Wait for a batch; empty when closing and nothing is left, or the instance is given up.

        Answers of the batch before are delivered before waiting, else just before the next run.
        """
        while True:
            batch: list[Job] = []
            late: list[Job] = []
            with self._changed:
                if not instance.taken:
                    batch, late = self._form(instance)
                elif not instance.answers:
                    self._changed.wait()
                if batch:  # else an event loop may have taken it while this thread waited
                    instance.taken = True
            self._fail_late(late)
            if batch:
                return batch
            instance.deliver()
            if not instance.alive or (self._closing and not self._queue):
                return []

    def _form(self, instance: Instance) -> tuple[list[Job], list[Job]]:
        """Wait once at most, and not while answers are to be delivered.

        Returns:
            The batch, if one can leave, and jobs that are too late.
        """
        now = time.monotonic_ns()
        front = self._queue.front(self._policy.max_rows)
        if front is None:
            if not self._closing and instance.alive and not instance.answers:
                self._changed.wait()
            return [], []
        decision = self._policy.decide(front, now, self.latency)
        if decision.wait > 0 and not self._closing:
            if not instance.answers:
                self._changed.wait(decision.wait / 1e9)
            return [], []
        return self._queue.take(decision.rows, now)

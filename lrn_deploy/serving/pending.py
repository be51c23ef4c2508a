"""Requests that wait for a batch: which may enter, which run together, which came too late.

Triton's rules (``dynamic_batch_scheduler.cc``): a batch is a run of requests from the front of the
queue; a request that does not fit into the remaining rows, or whose rows have another shape, closes
it; no request is ever split. Priority 1 is the highest; within one priority the order of arrival
is kept.

Nothing here knows threads or the clock: the caller holds a lock and passes the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from lrn_deploy.serving.errors import UnavailableError

Array = NDArray[Any]


@dataclass(frozen=True)
class Timing:
    """Where the time of one request went, in nanoseconds.

    Attributes:
        queue: From its arrival until its batch was formed.
        compute_input: Putting the batch's inputs together.
        compute_infer: Running the network.
        compute_output: Taking the batch's outputs apart.
        batch_rows: Rows of the batch that it ran in.
    """

    queue: int
    compute_input: int
    compute_infer: int
    compute_output: int
    batch_rows: int


@dataclass(frozen=True)
class Outcome:
    """The answer to one job: its own rows of every output."""

    outputs: dict[str, Array]
    timing: Timing


@dataclass(eq=False)
class Job:
    """One request in the queue.

    Attributes:
        inputs: One array for each input of the network, each with ``rows`` rows.
        rows: Rows, the batch size that the client sent.
        arrived: When, in nanoseconds of the monotonic clock.
        deadline: When an answer is of no use any more, on the same clock; None: never.
        priority: 1 is the highest.
        future: Where the outcome goes; cancelling it takes the job out of the queue.
    """

    inputs: dict[str, Array]
    rows: int
    arrived: int
    deadline: int | None = None
    priority: int = 1
    future: Future[Outcome] = field(default_factory=Future)
    size: int = field(init=False)
    shape: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(array.nbytes for array in self.inputs.values())
        self.shape = tuple(array.shape[1:] for array in self.inputs.values())

    def late(self, now: int) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and now >= self.deadline


@dataclass(frozen=True)
class Front:
    """What could run next.

    Attributes:
        rows: Rows of the longest batch that can be formed from the front of the queue.
        closed: True if no later request could join that batch.
        oldest: Arrival of its oldest request, in nanoseconds of the monotonic clock.
    """

    rows: int
    closed: bool
    oldest: int


class PendingQueue:
    """A bounded queue of jobs.

    Args:
        max_requests: Requests that may wait; 0 for any number.
        max_bytes: Bytes of inputs that may wait; 0 for any number.
    """

    def __init__(self, max_requests: int = 0, max_bytes: int = 0) -> None:
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self.requests = 0
        self.rows = 0
        self.bytes = 0
        self._levels: dict[int, deque[Job]] = {}

    def __len__(self) -> int:
        return self.requests

    @property
    def full(self) -> bool:
        """Whether even the smallest request would be refused."""
        return bool(self.max_requests and self.requests >= self.max_requests) or bool(
            self.max_bytes and self.bytes >= self.max_bytes
        )

    def put(self, job: Job) -> None:
        """Add a job behind those of its priority.

        Raises:
            UnavailableError: If the queue is full. A job larger than ``max_bytes`` still enters an
                empty queue, since it would never find more room.
        """
        over = self.max_bytes and self.bytes and self.bytes + job.size > self.max_bytes
        if self.full or over:
            raise UnavailableError(
                f"Exceeds maximum queue size: {self.requests} requests with {self.bytes:,} bytes "
                "are waiting. Try again later."
            )
        if job.priority not in self._levels:
            self._levels[job.priority] = deque()
            self._levels = dict(sorted(self._levels.items()))
        self._levels[job.priority].append(job)
        self._count(job, 1)

    def front(self, max_rows: int) -> Front | None:
        """What could run next as one batch of at most ``max_rows`` rows; None if nothing waits."""
        first: Job | None = None
        rows = oldest = 0
        for job in self._jobs():
            if first is None:
                first, oldest = job, job.arrived
            elif job.shape != first.shape or rows + job.rows > max_rows:
                return Front(rows, True, oldest)
            rows += job.rows
            oldest = min(oldest, job.arrived)
            if rows >= max_rows:
                return Front(rows, True, oldest)
        return None if first is None else Front(rows, False, oldest)

    def take(self, max_rows: int, now: int) -> tuple[list[Job], list[Job]]:
        """Remove the next batch, of at most ``max_rows`` rows unless one request alone has more.

        Returns:
            The batch, whose futures can no longer be cancelled, and the late jobs that were met on
            the way. Cancelled jobs that were met are gone.
        """
        batch: list[Job] = []
        late: list[Job] = []
        rows = 0
        for level in self._levels.values():
            while level:
                job = level[0]
                fits = not batch or (job.shape == batch[0].shape and rows + job.rows <= max_rows)
                if not fits and not job.late(now) and not job.future.cancelled():
                    return batch, late
                self._count(level.popleft(), -1)
                if not job.future.set_running_or_notify_cancel():
                    continue
                if job.late(now):
                    late.append(job)
                else:
                    batch.append(job)
                    rows += job.rows
        return batch, late

    def clear(self) -> list[Job]:
        """Remove and return every job that is not cancelled."""
        jobs = [job for job in self._jobs() if job.future.set_running_or_notify_cancel()]
        self._levels = {}
        self.requests = self.rows = self.bytes = 0
        return jobs

    def _jobs(self) -> Iterator[Job]:
        for level in self._levels.values():
            yield from level

    def _count(self, job: Job, sign: int) -> None:
        self.requests += sign
        self.rows += sign * job.rows
        self.bytes += sign * job.size

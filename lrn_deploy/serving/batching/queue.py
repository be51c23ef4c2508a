"""Requests that wait for a batch: which may enter, which run together, which came too late.

Triton's rules (``dynamic_batch_scheduler.cc``): a batch is a run of requests from the front of the
queue; a request that does not fit into the remaining rows, or whose rows have another shape, closes
it; no request is ever split. Priority 1 is the highest; within one priority callers take turns.

A full queue is shared too: the newest request of the caller that has most in it makes room for one
of a caller that would still have less. So nobody can lock the others out by filling it.

Nothing here knows threads or the clock: the caller holds a lock and passes the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lrn_deploy.serving.batching.fair_queue import FairQueue
from lrn_deploy.serving.batching.job import Job
from lrn_deploy.serving.errors import UnavailableError


@dataclass(frozen=True)
class NextBatch:
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
        self._levels: dict[int, FairQueue] = {}
        self._requests_of: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return self.requests

    def admits(self, caller: str) -> bool:
        """Whether some request of ``caller``, however small and urgent, could enter now."""
        return self._room(caller, 1, 1) is not None

    def put(self, job: Job) -> list[Job]:
        """Add a job.

        Returns:
            Jobs of another caller that had to make room; those that were cancelled are just gone.

        Raises:
            UnavailableError: If the queue is full. A job larger than ``max_bytes`` still enters an
                empty queue, since it would never find more room.
        """
        displaced = self._room(job.caller, job.size, job.priority)
        if displaced is None:
            raise UnavailableError(
                f"Exceeds maximum queue size: {self.requests} requests with {self.bytes:,} bytes "
                "are waiting. Try again later."
            )
        for gone in displaced:
            self._levels[gone.priority].give_up(gone)
            self._count(gone, -1)
        if job.priority not in self._levels:
            self._levels[job.priority] = FairQueue()
            self._levels = dict(sorted(self._levels.items()))
        self._levels[job.priority].put(job)
        self._count(job, 1)
        return [gone for gone in displaced if gone.future.set_running_or_notify_cancel()]

    def front(self, max_rows: int) -> NextBatch | None:
        """What could run next as one batch of at most ``max_rows`` rows; None if nothing waits."""
        first: Job | None = None
        rows = oldest = 0
        for job in self._jobs():
            if first is None:
                first, oldest = job, job.arrived
            elif job.shape != first.shape or rows + job.rows > max_rows:
                return NextBatch(rows, True, oldest)
            rows += job.rows
            oldest = min(oldest, job.arrived)
            if rows >= max_rows:
                return NextBatch(rows, True, oldest)
        return None if first is None else NextBatch(rows, False, oldest)

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
                job = level.first
                fits = not batch or (job.shape == batch[0].shape and rows + job.rows <= max_rows)
                if not fits and not job.late(now) and not job.future.cancelled():
                    return batch, late
                self._count(level.take(), -1)
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
        self._requests_of.clear()
        self._bytes_of.clear()
        self.requests = self.rows = self.bytes = 0
        return jobs

    def _room(self, caller: str, size: int, priority: int) -> list[Job] | None:
        """Jobs that must leave for one of ``size`` bytes to enter; None if it may not."""
        if self._fits(self.requests, self.bytes, size):
            return []
        wanted = self._share(self._requests_of[caller] + 1, self._bytes_of[caller] + size)
        heaviest = max(
            self._requests_of,
            key=lambda who: self._share(self._requests_of[who], self._bytes_of[who]),
        )
        requests, bytes_ = self._requests_of[heaviest], self._bytes_of[heaviest]
        leaving: list[Job] = []
        left, left_bytes = self.requests, self.bytes
        for job in self._newest(heaviest, priority) if heaviest != caller else ():
            requests, bytes_ = requests - 1, bytes_ - job.size
            left, left_bytes = left - 1, left_bytes - job.size
            leaving.append(job)
            if self._share(requests, bytes_) < wanted:
                return None  # it would not be any fairer
            if self._fits(left, left_bytes, size):
                return leaving
        return None

    def _fits(self, requests: int, bytes_: int, size: int) -> bool:
        """Whether one of ``size`` bytes may join so many requests and bytes."""
        over = self.max_bytes and bytes_ and bytes_ + size > self.max_bytes
        return not over and not (self.max_requests and requests >= self.max_requests)

    def _share(self, requests: int, bytes_: int) -> float:
        """The part of the queue that so much takes, by the limit that it comes closest to."""
        return max(
            requests / self.max_requests if self.max_requests else 0,
            bytes_ / self.max_bytes if self.max_bytes else 0,
        )

    def _newest(self, caller: str, priority: int) -> Iterator[Job]:
        """A caller's jobs of no higher priority, the least urgent and newest first."""
        for level in sorted(self._levels, reverse=True):
            if level >= priority:
                yield from (job for job in reversed(self._levels[level]) if job.caller == caller)

    def _jobs(self) -> Iterator[Job]:
        for level in self._levels.values():
            yield from level

    def _count(self, job: Job, sign: int) -> None:
        self.requests += sign
        self.rows += sign * job.rows
        self.bytes += sign * job.size
        self._requests_of[job.caller] += sign
        self._bytes_of[job.caller] += sign * job.size
        if not self._requests_of[job.caller]:
            del self._requests_of[job.caller], self._bytes_of[job.caller]

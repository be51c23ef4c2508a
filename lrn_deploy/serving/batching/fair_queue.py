"""The requests of one priority in the order in which they are served, fair between callers.

Start-time fair queueing (Goyal, Vin and Cheng, 1996). A request gets a start tag when it comes: the
finish tag of the same caller's request before it, or the time of the queue if that is later. Its
finish tag is its start tag plus its rows. The lowest start tag is served first, and the time of the
queue is the start tag of what was served last. So callers that always have something waiting get
equally many rows, one that comes now and then waits for about one request of each other, and each
caller's own requests keep their order. A single caller has a plain queue.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from itertools import count

from lrn_deploy.serving.batching.job import Job

_MANY_CALLERS = 1000


class FairQueue:
    """Jobs of one priority; iterates in the order of service."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Job]] = []  # start tag, arrival, job
        self._finish: dict[str, int] = {}
        self._time = 0
        self._arrivals = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Job]:
        return (job for _, _, job in self._waiting)

    def __reversed__(self) -> Iterator[Job]:
        return (job for _, _, job in reversed(self._waiting))

    @property
    def first(self) -> Job:
        """The job that is next."""
        return self._waiting[0][2]

    def put(self, job: Job) -> None:
        """Add a job."""
        start = max(self._time, self._finish.pop(job.caller, 0))
        self._finish[job.caller] = start + job.rows  # at the end: the latest
        insort(self._waiting, (start, next(self._arrivals), job))

    def take(self) -> Job:
        """Remove the first job. It was its caller's turn, also if it is late or cancelled."""
        self._time, _, job = self._waiting.pop(0)
        self._forget()
        return job

    def give_up(self, job: Job) -> None:
        """Remove a caller's newest job; it costs no turn."""
        place = next(at for at, entry in enumerate(self._waiting) if entry[2] is job)
        self._finish[job.caller], _, _ = self._waiting.pop(place)
        self._forget()

    def _forget(self) -> None:
        """Drop finish tags that no longer matter.

        Names of callers come from outside. Where each comes once, the time stands still and no tag
        falls behind it; so of callers that do not wait, only the latest are remembered.
        """
        if not self._waiting:
            self._finish.clear()
            self._time = 0
        elif len(self._finish) > _MANY_CALLERS + 2 * len(self._waiting):
            waiting = {job.caller for job in self}
            others = [who for who in self._finish if who not in waiting]
            for who in others[: -_MANY_CALLERS // 2]:  # half of them, so this is done seldom
                del self._finish[who]

"""A server in virtual time, for what sends requests without waiting for their answers."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lrn_deploy.load.drive import ANSWERED, Ended

Serve = Callable[[int, float], tuple[float, str]]


@dataclass
class Virtual:
    """A server in virtual time: ``serve`` says when a request that is sent now ends, and how."""

    serve: Serve
    most: int = 1000
    now: float = 50.0
    cost: float = 0.0
    most_seen: int = 0
    abandoned: list[int] = field(default_factory=list)
    _under_way: list[Ended] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def send(self, ticket: int) -> None:
        self.now += self.cost
        moment, outcome = self.serve(ticket, self.now)
        insort(self._under_way, (ticket, moment, outcome), key=lambda ended: ended[1])
        self.most_seen = max(self.most_seen, len(self._under_way))

    def wait(self, seconds: float) -> Iterable[Ended]:
        until = self.now + (max(seconds, 1e-9) if seconds else 0.0)  # so that time goes on
        if self._under_way and self._under_way[0][1] <= until:
            self.now = max(self.now, self._under_way[0][1])
        else:
            self.now = until
        ended = [one for one in self._under_way if one[1] <= self.now]
        self._under_way = [one for one in self._under_way if one[1] > self.now]
        return ended

    def abandon(self, ticket: int) -> None:
        self.abandoned.append(ticket)

    def close(self) -> None: ...


def steady(seconds: float) -> Serve:
    return lambda _ticket, now: (now + seconds, ANSWERED)

"""When requests are due: at their times (open loop), or after the answers of others (closed loop).

Times are seconds since the run began.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

PAUSE_SECONDS = 0.05
"""How long a closed loop's turn waits after a failed connection, which fails at once."""


class Plan(Protocol):
    """When requests are due."""

    def due(self) -> float:
        """When the next one is; infinite if none is until one more has ended, or at all."""

    def sent(self) -> None:
        """The next one was sent."""

    def ended(self, moment: float, *, failed: bool) -> None:
        """One has ended, with an answer or, if ``failed``, because there was no connection."""


class OpenLoop:
    """Each request at its time, however many have not been answered.

    Args:
        arrivals: When, in order.
    """

    def __init__(self, arrivals: Sequence[float]) -> None:
        self._arrivals = [*arrivals, math.inf]
        self._at = 0

    def due(self) -> float:
        """When the next one is."""
        return self._arrivals[self._at]

    def sent(self) -> None:
        """The next one was sent."""
        self._at += 1

    def ended(self, moment: float, *, failed: bool) -> None:
        """Changes nothing: this is what makes it open."""


class ClosedLoop:
    """So many at a time, each followed by another as soon as it has ended.

    Args:
        concurrency: How many.
        seconds: From then on none is sent any more.
    """

    def __init__(self, concurrency: int, seconds: float) -> None:
        self._free = [0.0] * concurrency
        self._seconds = seconds

    def due(self) -> float:
        """When the next one is."""
        at = self._free[0] if self._free else math.inf
        return at if at < self._seconds else math.inf

    def sent(self) -> None:
        """The next one was sent."""
        heapq.heappop(self._free)

    def ended(self, moment: float, *, failed: bool) -> None:
        """A turn is free."""
        heapq.heappush(self._free, moment + PAUSE_SECONDS * failed)


def poisson(per_second: float, seconds: float, seed: int) -> list[float]:
    """Arrivals of a Poisson process: exponentially distributed distances.

    Args:
        per_second: How many on average.
        seconds: Until when.
        seed: Of the distances.
    """
    rng = np.random.default_rng(seed)
    arrivals: list[float] = []
    last = 0.0
    while last < seconds:
        more = last + np.cumsum(rng.exponential(1 / per_second, 1 + int(per_second * seconds)))
        arrivals += more.tolist()
        last = arrivals[-1]
    return [moment for moment in arrivals if moment < seconds]

"""How long a run of tune has taken by phase, and roughly how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

Phase = Literal["making", "judging", "validating", "racing"]

TYPICAL: dict[Phase, float] = {"making": 8.0, "judging": 3.0, "validating": 10.0, "racing": 12.0}
"""Seconds of one step for AlexNet on 2 cores; once something was measured, only their ratios
matter."""


class Ledger:
    """Seconds and steps by phase.

    Args:
        clock: Seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[Phase, list[float]] = {}

    @contextmanager
    def step(self, phase: Phase, steps: int = 1) -> Iterator[None]:
        """Count what is done meanwhile as so many steps of a phase, however it ends."""
        started = self._clock()
        try:
            yield
        finally:
            each = (self._clock() - started) / max(steps, 1)
            self._spent.setdefault(phase, []).extend([each] * max(steps, 1))

    @property
    def steps(self) -> int:
        """Steps done so far."""
        return sum(map(len, self._spent.values()))

    @property
    def seconds(self) -> dict[Phase, float]:
        """Seconds of each phase so far."""
        return {phase: sum(taken) for phase, taken in self._spent.items()}

    def left(self, todo: Mapping[Phase, int]) -> float:
        """Seconds that so many steps of each phase will take, roughly.

        A step takes what such steps took so far on average; of a phase that has not begun, what is
        typical, on a machine as fast as this one was.
        """
        usual = sum(TYPICAL[phase] * len(taken) for phase, taken in self._spent.items())
        pace = sum(self.seconds.values()) / usual if usual else 1.0
        return sum(count * self._one(phase, pace) for phase, count in todo.items())

    def _one(self, phase: Phase, pace: float) -> float:
        taken = self._spent.get(phase)
        return sum(taken) / len(taken) if taken else TYPICAL[phase] * pace


def about(seconds: float) -> str:
    """Seconds as people say them: to five seconds, or half minutes from two minutes on."""
    if seconds < 120:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    halves = round(seconds / 30)
    return f"about {halves / 2:g} min left"

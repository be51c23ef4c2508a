"""Scales: from a value to its place on an axis, and the values to mark there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_TICKS = 7


class Scale(Protocol):
    """From a value to a place."""

    def __call__(self, value: float) -> float:
        """Where ``value`` lies."""

    def ticks(self) -> tuple[float, ...]:
        """Round values to mark."""


@dataclass(frozen=True)
class Linear:
    """A linear scale of values ``low`` to ``high`` onto places ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where ``value`` lies; beyond the ends it is not cut."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> tuple[float, ...]:
        """Multiples of 1, 2 or 5 times a power of ten, at most seven of them."""
        rough = (self.high - self.low) / MAX_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(round(at * step, 12) for at in range(first, last + 1))


@dataclass(frozen=True)
class Log:
    """A logarithmic scale of positive ``low`` to ``high`` onto places ``start`` to ``end``.

    A value beyond the ends, zero and infinity included, lies at that end. NaN lies at the high one,
    where what is worst is looked for.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where ``value`` lies."""
        if self.high <= self.low:
            return (self.start + self.end) / 2
        value = self.high if math.isnan(value) else min(max(value, self.low), self.high)
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> tuple[float, ...]:
        """Powers of ten, every second or third if there are many; 1, 2 and 5 if there are few."""
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        if last - first < 2:
            steps = (m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 5))
            return tuple(v for v in steps if self.low <= v * (1 + 1e-9) and v <= self.high)
        every = -(-(last - first + 1) // MAX_TICKS)
        return tuple(10.0**exponent for exponent in range(first, last + 1, every))


def decades(values: Sequence[float], *, narrow: bool = False) -> tuple[float, float]:
    """Ends of a logarithmic axis around positive values.

    Args:
        values: At least one.
        narrow: End at 1, 2 or 5 times a power of ten; else at powers of ten.
    """
    steps = (1.0, 2.0, 5.0) if narrow else (1.0,)
    marks = [m * 10.0**e for e in range(-45, 45) for m in steps]
    low = max(mark for mark in marks if mark <= max(min(values), 1e-45) * (1 + 1e-9))
    high = min(mark for mark in marks if mark >= min(max(values), 1e44) * (1 - 1e-9))
    return (low, high) if low < high else (low / 10, high * 10)

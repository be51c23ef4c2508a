"""The curve of an LRN's denominator over one channel's value: ``(k + factor * t ** 2) ** beta``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESIDUAL = 1e-6
"""Largest distance of the measured curve from the fitted one, relative, where fp32 rounds well."""
_ROUNDING = 2e-7
"""What a logarithm and an exponential in fp32 add to it, for each unit of the exponent."""
_FLAT = 1e-3
"""Slope below which the curve has not left ``k ** beta`` yet."""
_STEPS = 12
_MOST_DIGITS = 9
_DECIMAL = 3e-7
"""How far from a fitted parameter its decimal may lie, relative."""


@dataclass(frozen=True)
class Curve:
    """``(k + factor * t ** 2) ** beta``; factor is alpha divided by the size."""

    k: float
    factor: float
    beta: float

    def __call__(self, t: Floats) -> Floats:
        """The denominator at each t."""
        return self.of_sum(np.square(t))

    def of_sum(self, squares: Floats) -> Floats:
        """The denominator for each sum of squares."""
        with np.errstate(all="ignore"):
            return np.asarray((self.k + self.factor * squares) ** self.beta)

    def sum_of(self, denominator: Floats) -> Floats:
        """The sum of squares for each denominator."""
        with np.errstate(all="ignore"):
            return np.asarray((denominator ** (1 / self.beta) - self.k) / self.factor)

    @property
    def knee(self) -> float:
        """Where ``factor * t ** 2`` is as large as k; 1 without k."""
        return float(np.sqrt(self.k / self.factor)) if self.k else 1.0


def rough_curve(t: Floats, denominator: Floats) -> Curve | None:
    """The curve from a few points over many decades, to some digits; None if it is no such curve.

    Args:
        t: Rising, positive.
        denominator: Measured at each.
    """
    held = np.isfinite(denominator) & (denominator > 0)
    if not held[0] or np.count_nonzero(held) < 5 or not held[: np.count_nonzero(held)].all():
        return None
    at, log = np.log(t[held]), np.log(denominator[held])
    slopes = np.diff(log) / np.diff(at)
    beta = slopes[-1] / 2
    if beta <= 0 or slopes.min() < -_FLAT:
        return None
    powerless = abs(slopes[0] - slopes[-1]) < _FLAT
    if slopes[0] > _FLAT and not powerless:
        return None
    with np.errstate(all="ignore"):
        k = 0.0 if powerless else float(np.exp(log[0] / beta))
        factor = float(np.exp(log[-1] / beta - 2 * at[-1]))
    if not 0 <= k < np.inf or not 0 < factor < np.inf:
        return None
    return Curve(k, factor, float(beta))


def fitted_curve(t: Floats, denominator: Floats, start: Curve) -> Curve | None:
    """The curve through measured points, in decimals; None if none goes through them.

    Args:
        t: Where it was measured, from far below the knee of ``start`` to far above it.
        denominator: Measured at each.
        start: What the search starts from.
    """
    if not (np.isfinite(denominator) & (denominator > 0)).all():
        return None
    log = np.log(denominator)
    curve = start
    for _ in range(_STEPS):
        inside = curve.k + curve.factor * np.square(t)
        distance = log - curve.beta * np.log(inside)
        share = curve.k / inside
        slopes = [np.log(inside), curve.beta * (1 - share)]
        if curve.k:
            slopes.append(curve.beta * share)
        step, *_ = np.linalg.lstsq(np.stack(slopes, axis=1), distance, rcond=None)
        if not np.isfinite(step).all() or abs(step).max() > 1:
            return None
        curve = Curve(
            curve.k * float(np.exp(step[2])) if curve.k else 0.0,
            curve.factor * float(np.exp(step[1])),
            curve.beta + float(step[0]),
        )
        if curve.beta <= 0:
            return None
    return curve if _goes_through(curve, t, log) else None


def in_decimals(curve: Curve, size: int, t: Floats, denominator: Floats) -> tuple[Curve, float]:
    """The curve whose k, alpha and beta are short decimals, and that alpha, if it fits as well.

    Args:
        curve: As fitted.
        size: Channels in the window: ``alpha`` is ``factor * size``.
        t: Where it was measured.
        denominator: Measured at each.
    """
    slack = _DECIMAL / min(curve.beta, 1)
    k, alpha = decimal(curve.k, slack), decimal(curve.factor * size, 2 * slack)
    rounded = Curve(k, alpha / size, decimal(curve.beta, _DECIMAL))
    if _goes_through(rounded, t, np.log(denominator)):
        return rounded, alpha
    return curve, curve.factor * size


def decimal(value: float, slack: float) -> float:
    """The shortest decimal that is no further away than ``slack``, relative."""
    for digits in range(1, _MOST_DIGITS):
        short = float(f"{value:.{digits - 1}e}")
        if abs(short - value) <= slack * abs(value):
            return short
    return float(f"{value:.{_MOST_DIGITS - 1}e}")


def _goes_through(curve: Curve, t: Floats, log: Floats) -> bool:
    distance = abs(np.log(curve(t)) - log)
    return bool((distance <= RESIDUAL + _ROUNDING * abs(log)).all())

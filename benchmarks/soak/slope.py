"""How fast a series rises, and how sure that is.

The slope is Theil and Sen's, the median of the slopes between pairs of samples: a server's memory
has steps and spikes, and a few of them, which would turn the line of least squares, do not move the
median. Of the pairs, those count that are at least half of the series apart: what lies near tells
of the noise.

Its interval is a moving-block bootstrap's. Each sample is much like the one before; resampled one
by one, they would count as more than they know, and the interval would be too narrow. So what is
left of the samples without their line is drawn in blocks of neighbours, which keep how they hang
together, put back onto the line, and each such series gives another slope.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
_SEED = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slope:
    """Per hour: the slope, and between what it lies with a probability of 95 %."""

    per_hour: float
    low: float
    high: float

    def verdict(self, bound: float) -> Literal["steady", "unclear", "leaks"]:
        """Whether it is sure to be at most ``bound``, or sure to be more."""
        if self.high <= bound:
            return "steady"
        return "leaks" if self.low > bound else "unclear"

    def told(self, bound: float) -> dict[str, Any]:
        """For the results."""
        return {**asdict(self), "bound": bound, "verdict": self.verdict(bound)}


def slope(seconds: Floats, values: Floats, *, block: int, resamples: int = RESAMPLES) -> Slope:
    """The slope of ``values`` over ``seconds``.

    Args:
        seconds: When each sample was taken, rising.
        values: The samples.
        block: Neighbours that are drawn together; more than hang together, and a small part of all.
        resamples: Series that are drawn.

    Raises:
        ValueError: If there are fewer than two blocks.
    """
    count = len(values)
    if count < 2 * block:
        raise ValueError(f"{count} samples are no two blocks of {block}")
    pairs = np.triu_indices(count, (count + 1) // 2)
    apart = seconds[pairs[1]] - seconds[pairs[0]]

    def theil_sen(series: Floats) -> float:
        return float(np.median((series[pairs[1]] - series[pairs[0]]) / apart))

    steepness = theil_sen(values)
    line = steepness * seconds
    line += np.median(values - line)
    left = values - line
    if not left.any():
        return Slope(3600 * steepness, 3600 * steepness, 3600 * steepness)
    rng = np.random.default_rng(_SEED)
    starts = rng.integers(0, count - block + 1, (resamples, -(-count // block)))
    drawn = (starts[..., None] + np.arange(block)).reshape(resamples, -1)[:, :count]
    others = [theil_sen(line + left[indices]) for indices in drawn]
    low, high = np.percentile(others, (2.5, 97.5))
    return Slope(3600 * steepness, 3600 * float(low), 3600 * float(high))

"""What raw samples say: percentiles, throughput, intervals, noise. Pure functions.

Samples come in *rounds*: in each round every candidate had its turn, so the candidates' samples of
one round were neighbours in time and whatever slowed the machine down then slowed all of them.
Percentiles pool the samples of all rounds; they are never percentiles of percentiles.

A ratio of two candidates is the median of their ratios in each round: a machine that is half as
fast in some rounds slows both sides there, and does not show. The ratio of the pooled medians would
show it; where that is what was promised, :func:`ratio_of_medians` has it.

Intervals are percentile bootstrap intervals (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13) that draw whole rounds, as samples of one round depend on each other.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rounds = Sequence[Sequence[float]]
"""Seconds of each timed run, by round; or what was made of them."""
Floats = NDArray[np.float64]

CONFIDENCE = 0.95
MIN_ROUNDS = 5
"""Fewer rounds are no basis for an interval."""
DRAWS = 2000
"""Bootstrap draws: the ends of an interval are then known to about 1/40 of its width."""

MAX_MEDIAN_WIDTH = 0.05
"""A median known no better than to within 5 % on either side cannot show a change of 5 %."""
MAX_DRIFT = 0.10
"""The machine changed its speed by a tenth from the first half of the run to the second."""
MAX_SPREAD = 0.50
"""The middle half of the samples lies this far apart, as a part of the median."""

Answer = Literal["regression", "within", "inconclusive"]


@dataclass(frozen=True)
class Summary:
    """Distribution of one candidate's samples, all rounds pooled. Times in seconds.

    Attributes:
        count: Number of timed runs.
        p5: 5th percentile; with ``p95`` the spread: nine runs of ten lay between them.
        p25: 25th percentile.
        p50: Median.
        p75: 75th percentile.
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
        max: The slowest run.
        mean: Mean.
    """

    count: int
    p5: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float
    max: float
    mean: float


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    low: float
    estimate: float
    high: float


@dataclass(frozen=True)
class Noise:
    """Whether samples can be trusted.

    Attributes:
        noisy: True if they cannot.
        median_width: Half the width of the median's 95 % interval over the median; None if there
            are too few rounds to tell.
        drift: Median of the second half of the rounds over that of the first, less 1.
        reasons: Why they cannot be trusted, one sentence each.
    """

    noisy: bool
    median_width: float | None
    drift: float
    reasons: tuple[str, ...] = ()


def pooled(rounds: Rounds) -> Floats:
    """All samples of all rounds, in the order in which they were taken."""
    return np.array([sample for samples in rounds for sample in samples], np.float64)


def summarize(rounds: Rounds) -> Summary:
    """The distribution of the pooled samples.

    Percentiles interpolate linearly between the two nearest samples (definition 7 of Hyndman and
    Fan, Sample Quantiles in Statistical Packages, 1996; numpy's default).

    Raises:
        ValueError: If there is no sample.
    """
    samples = pooled(rounds)
    if not len(samples):
        raise ValueError("there are no samples to summarize")
    points = np.percentile(samples, [5, 25, 50, 75, 90, 95, 99])
    p5, p25, p50, p75, p90, p95, p99 = (float(point) for point in points)
    slowest, mean = float(samples.max()), float(samples.mean())
    return Summary(len(samples), p5, p25, p50, p75, p90, p95, p99, slowest, mean)


def throughput(rounds: Rounds, batch: int) -> float:
    """Items in a second when runs of ``batch`` items follow one another: items over total time."""
    samples = pooled(rounds)
    return float(batch * len(samples) / samples.sum())


def median_interval(rounds: Rounds, *, seed: int = 0) -> Interval:
    """The median with its confidence interval.

    Raises:
        ValueError: If there are fewer than :data:`MIN_ROUNDS` rounds.
    """
    return _interval(_draw_medians(rounds, seed), float(np.median(pooled(rounds))))


def ratio_interval(ours: Rounds, theirs: Rounds, *, seed: int = 0) -> Interval:
    """The median of the rounds' ratios, each the median time of ours over that of theirs.

    Rounds that only one of the two completed are left out.

    Raises:
        ValueError: If fewer than :data:`MIN_ROUNDS` rounds are common.
    """
    return median_interval(_ratios(ours, theirs), seed=seed)


def ratio_of_medians(ours: Rounds, theirs: Rounds, *, seed: int = 0) -> Interval:
    """The pooled median of ours over that of theirs; each draw takes the same rounds of both.

    Wider than :func:`ratio_interval` on a machine whose speed changes between rounds.

    Raises:
        ValueError: If fewer than :data:`MIN_ROUNDS` rounds are common.
    """
    common = min(len(ours), len(theirs))
    both = (ours[:common], theirs[:common])
    draws = [_draw_medians(rounds, seed) for rounds in both]
    mine, other = (float(np.median(pooled(rounds))) for rounds in both)
    return _interval(draws[0] / draws[1], mine / other)


def normalised_interval(
    now: tuple[Rounds, Rounds], before: tuple[Rounds, Rounds], *, seed: int = 0
) -> Interval:
    """The ratio of two runs at different times, each in every round over a calibration workload.

    Args:
        now: Samples and the calibration's samples of the same rounds, of the later run.
        before: The same of the earlier run.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: If one of the runs has fewer than :data:`MIN_ROUNDS` rounds.
    """
    ratios = [_ratios(rounds, calibration) for rounds, calibration in (now, before)]
    draws = [_draw_medians(each, seed + at) for at, each in enumerate(ratios)]
    later, earlier = (float(np.median(pooled(each))) for each in ratios)
    return _interval(draws[0] / draws[1], later / earlier)


def judge(interval: Interval, max_regression: float) -> Answer:
    """Whether a ratio of times is a regression.

    Args:
        interval: Of the ratio, the new time over the old one.
        max_regression: Slowdown that is let pass, 0.05 for 5 %.

    Returns:
        ``regression`` if the whole interval is above the limit, ``within`` if none of it is, else
        ``inconclusive``.
    """
    limit = 1 + max_regression
    if interval.low > limit:
        return "regression"
    return "within" if interval.high <= limit else "inconclusive"


def noise(rounds: Rounds, *, seed: int = 0) -> Noise:
    """Whether the samples of one candidate can be trusted; the limits stand in this module."""
    summary = summarize(rounds)
    half = len(rounds) // 2
    drift = 0.0
    if half:
        drift = float(np.median(pooled(rounds[half:])) / np.median(pooled(rounds[:half]))) - 1
    reasons = []
    width = None
    if len(rounds) < MIN_ROUNDS:
        reasons.append(f"only {len(rounds)} rounds were measured, of at least {MIN_ROUNDS}")
    else:
        interval = median_interval(rounds, seed=seed)
        width = (interval.high - interval.low) / 2 / summary.p50
        if width > MAX_MEDIAN_WIDTH:
            reasons.append(f"the median is known only to within {width:.0%}")
        if abs(drift) > MAX_DRIFT:
            reasons.append(f"the median moved by {drift:+.0%} from the first half to the second")
    spread = (summary.p75 - summary.p25) / summary.p50
    if spread > MAX_SPREAD:
        reasons.append(f"the middle half of the samples spreads over {spread:.0%} of the median")
    return Noise(bool(reasons), width, drift, tuple(reasons))


def _interval(draws: Floats, estimate: float) -> Interval:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(float(low), estimate, float(high))


def _ratios(ours: Rounds, theirs: Rounds) -> Rounds:
    """In each round that both completed, the median time of ours over that of theirs."""
    return [
        [float(np.median(our) / np.median(other))] for our, other in zip(ours, theirs, strict=False)
    ]


def _draw_medians(rounds: Rounds, seed: int) -> Floats:
    """Medians of bootstrap samples, each of as many rounds as there are."""
    count = len(rounds)
    if count < MIN_ROUNDS:
        raise ValueError(f"an interval needs at least {MIN_ROUNDS} rounds, got {count}")
    return _medians(rounds, _drawn(count, DRAWS, seed))


@functools.lru_cache(maxsize=8)
def _drawn(count: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How many times each draw takes each round; the same for all that has as many rounds."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), draws)


def _medians(rounds: Rounds, times_drawn: NDArray[np.int64]) -> Floats:
    """Median of each draw, in which round i takes part ``times_drawn[:, i]`` times."""
    samples = pooled(rounds)
    owner = np.repeat(np.arange(len(rounds)), [len(taken) for taken in rounds])
    order = np.argsort(samples, kind="stable")
    # A column for each draw: additions of whole rows are quick.
    ranks = np.cumsum(times_drawn.T.astype(np.int32)[owner[order]], axis=0, dtype=np.int32)
    middle = [(ranks[-1] - 1) // 2, ranks[-1] // 2]
    lower, upper = (samples[order][(ranks <= rank).sum(axis=0)] for rank in middle)
    return np.asarray((lower + upper) / 2)

"""Who may leave a race before its end: pure functions on the samples of the rounds so far.

A candidate leaves when the interval of its time over the leader's lies wholly above a margin. Each
look is a chance to be wrong, so they are few, the first is not early, and the margin is more than
what a choice may be off by; whoever is closer than that runs to the end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lrn_deploy.latency.statistics import Rounds, noise, pooled, ratio_interval

FIRST_LOOK = 8
"""Rounds before anyone may leave; an interval takes five."""
EVERY = 4
"""Rounds between two looks."""
MARGIN = 1.03
"""Surely this much slower than the leader is out."""
SETTLED = 12
"""Rounds after which a leader that is alone need not go on, if its samples are quiet."""


def remaining(samples: Mapping[str, Rounds]) -> set[str]:
    """Who goes on after the rounds so far; nobody once the race is decided.

    Args:
        samples: Seconds of each run by round, of those who are still in the race; each has the
            same rounds.
    """
    count = min((len(rounds) for rounds in samples.values()), default=0)
    if count < FIRST_LOOK or (count - FIRST_LOOK) % EVERY:
        return set(samples)
    leader = min(samples, key=lambda name: float(np.median(pooled(samples[name]))))
    kept = {
        name
        for name, rounds in samples.items()
        if name == leader or ratio_interval(rounds, samples[leader]).low <= MARGIN
    }
    decided = kept == {leader} and count >= SETTLED and not noise(samples[leader]).noisy
    return set() if decided else kept


def farewell(rounds: Rounds, leader: Rounds) -> str:
    """Why a candidate left a race, in words; empty if it stayed as long as the leader."""
    if len(rounds) >= len(leader):
        return ""
    ratio = ratio_interval(rounds, leader)
    return (
        f"left the race after {len(rounds)} rounds: {ratio.estimate:.3g} times as long as the "
        f"fastest, at least {ratio.low:.3g}"
    )

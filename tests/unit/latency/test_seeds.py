"""Whoever measures or counts again without saying a seed gets what they got: the seed is 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lrn_deploy.latency import sampling
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.sampling import interleave
from lrn_deploy.latency.statistics import (
    median_interval,
    noise,
    normalised_interval,
    ratio_interval,
    ratio_of_medians,
)

RNG = np.random.default_rng(3)
OURS = RNG.lognormal(0, 0.3, (12, 3)).tolist()
THEIRS = RNG.lognormal(0, 0.3, (12, 3)).tolist()


@pytest.mark.parametrize(
    "interval",
    [
        lambda **seed: median_interval(OURS, **seed),
        lambda **seed: ratio_interval(OURS, THEIRS, **seed),
        lambda **seed: ratio_of_medians(OURS, THEIRS, **seed),
        lambda **seed: normalised_interval((OURS, THEIRS), (THEIRS, OURS), **seed),
        lambda **seed: noise(OURS, **seed).median_width,
    ],
)
def test_intervals(interval: Callable[..., Any]) -> None:
    assert interval() == interval(seed=0)


def test_other_seeds_draw_other_rounds() -> None:
    assert len({median_interval(OURS, seed=seed).low for seed in range(30)}) > 1
    assert len({ratio_of_medians(OURS, THEIRS, seed=seed).low for seed in range(30)}) > 1


def order(**seed: int) -> str:
    """Who ran when in the rounds, of three that take 60 ms of a clock of their own."""
    now, ran = [0.0], []

    def candidate(name: str) -> Callable[[], None]:
        def run() -> None:
            ran.append(name)
            now[0] += 0.06

        return run

    candidates = {name: candidate(name) for name in "abc"}
    interleave(candidates, Effort(rounds=6, seconds=1e9), clock=lambda: now[0], **seed)
    return "".join(ran[-18:])


def test_the_order_of_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "REST", 0.0)
    assert order() == order(seed=0)
    assert order(seed=0) != order(seed=1)

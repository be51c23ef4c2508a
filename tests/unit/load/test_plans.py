"""When requests are due."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lrn_deploy.load.plans import ClosedLoop, OpenLoop, poisson


def test_distances_of_arrivals_are_exponentially_distributed() -> None:
    arrivals = np.array(poisson(1000.0, 50.0, seed=1))
    assert arrivals[0] > 0
    assert arrivals[-1] < 50.0
    gaps = np.sort(np.diff(arrivals, prepend=0.0))
    assert len(gaps) == pytest.approx(50_000, abs=4 * math.sqrt(50_000))
    found = np.arange(1, len(gaps) + 1) / len(gaps)
    wanted = 1 - np.exp(-1000.0 * gaps)
    assert abs(found - wanted).max() < 1.95 / math.sqrt(len(gaps))  # Kolmogorov-Smirnov, 0.001
    assert abs(np.corrcoef(np.diff(arrivals)[:-1], np.diff(arrivals)[1:])[0, 1]) < 0.02


def test_a_seed_makes_them_the_same_again() -> None:
    assert poisson(10.0, 5.0, seed=3) == poisson(10.0, 5.0, seed=3)
    assert poisson(10.0, 5.0, seed=3) != poisson(10.0, 5.0, seed=4)
    assert all(moment < 0.01 for moment in poisson(1.0, 0.01, seed=0))


def test_an_open_loop_ends_with_its_last_arrival() -> None:
    plan = OpenLoop([0.1, 0.2])
    plan.sent()
    plan.ended(5.0, failed=True)
    assert plan.due() == 0.2
    plan.sent()
    assert plan.due() == math.inf


def test_a_closed_loop_waits_for_an_end_and_a_little_after_a_failure() -> None:
    plan = ClosedLoop(1, seconds=10.0)
    plan.sent()
    assert plan.due() == math.inf
    plan.ended(3.0, failed=False)
    assert plan.due() == 3.0
    plan.sent()
    plan.ended(4.0, failed=True)
    assert plan.due() == 4.05
    plan.sent()
    plan.ended(10.0, failed=False)
    assert plan.due() == math.inf

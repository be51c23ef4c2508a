"""The queueing model against closed forms, a case worked out by hand, and a simulation."""

from __future__ import annotations

from math import exp, factorial, log

import numpy as np
import pytest

from benchmarks.size_check.simulation import poisson, simulate, simulate_several
from lrn_deploy.sizing.bulk_queue import Floats, OverloadedError, capacity, stay


def constant(*seconds: float) -> Floats:
    return np.array([[each] for each in seconds])


def line(per_batch: float, per_request: float, largest: int) -> Floats:
    return constant(*(per_batch + size * per_request for size in range(1, largest + 1)))


def exponential(mean: float, atoms: int = 500) -> Floats:
    """Means of equal parts of the exponential distribution, from its own integral."""
    ends = np.linspace(0, 1, atoms + 1)[:-1]
    above = np.append((1 - ends) * (1 - np.log(1 - ends)), 0)  # of its quantiles, from each end on
    return mean * -np.diff(above)[None] * atoms


def crommelin(load: float, services: float) -> float:
    """P(wait <= t) of M/D/1, t in service times (Crommelin 1932; Erlang 1909)."""
    terms = (
        (load * (number - services)) ** number / factorial(number) * exp(load * (services - number))
        for number in range(int(services) + 1)
    )
    return (1 - load) * sum(terms)


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
def test_batches_of_one_and_exponential_times_are_m_m_1(load: float) -> None:
    found = stay(load / 0.02, exponential(0.02))
    mean = 0.02 / (1 - load)  # the stay is exponential with this mean
    assert found.utilisation == pytest.approx(load, rel=1e-3)
    assert found.mean == pytest.approx(mean, rel=0.01)
    for percent in (50, 90, 99):
        assert found.quantile(percent) == pytest.approx(-mean * log(1 - percent / 100), rel=0.015)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_batches_of_one_and_equal_times_are_m_d_1(load: float) -> None:
    found = stay(load / 0.02, constant(0.02))
    assert found.mean_batch == pytest.approx(1)
    assert found.mean == pytest.approx(0.02 * (1 + load / (2 * (1 - load))), rel=0.005)
    for percent in (50, 75, 99):
        waited = found.quantile(percent) / 0.02 - 1
        if waited > 0.05:  # else it is among those that wait for nothing
            assert crommelin(load, waited) == pytest.approx(percent / 100, abs=0.01)


def test_a_batch_that_has_room_for_all_is_as_worked_out_by_hand() -> None:
    """Whoever comes to a batch of time D that takes all waits for what is left of it, then D.

    No batch depends on the one before: it is followed by another unless nobody came, which has the
    probability e^-rD. The server is idle for 1/r then, so a part p = e^-rD / (rD + e^-rD) of the
    requests meet nothing and stay D; the others stay D to 2 D, each equally likely.
    """
    rate, each = 150.0, 0.01
    found = stay(rate, constant(*[each] * 60))
    free = exp(-rate * each) / (rate * each + exp(-rate * each))
    assert found.utilisation == pytest.approx(1 - free, rel=1e-6)
    assert found.mean_batch == pytest.approx(rate * each + exp(-rate * each), rel=1e-6)
    assert found.mean == pytest.approx(each * (1 + (1 - free) / 2), rel=1e-3)
    for percent in (50, 99):
        share = (percent / 100 - free) / (1 - free)
        assert found.quantile(percent) == pytest.approx(each * (1 + share), rel=0.005)


SHAPES = {
    "a constant and a line": line(0.004, 0.001, 16),
    "in proportion": line(0.0, 0.002, 8),
    "as long for any batch": line(0.01, 0.0, 4),
    "two at most": constant(0.010, 0.013),
    "that vary": line(0.004, 0.001, 8) * np.array([0.9, 0.95, 1.0, 1.0, 1.0, 1.05, 1.1, 1.6]),
}


@pytest.mark.parametrize(("load", "count"), [(0.15, 15_000), (0.5, 25_000), (0.8, 50_000)])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_says_what_a_simulation_shows(shape: str, load: float, count: int) -> None:
    times = SHAPES[shape]
    rate = load * capacity(times)
    played = simulate(poisson(rate, count, 5), times)
    found = stay(rate, times)
    assert found.weights.sum() == pytest.approx(1, abs=1e-6)
    assert found.mean == pytest.approx(played.mean(), rel=0.03)
    for percent in (50, 90, 99):
        assert found.quantile(percent) == pytest.approx(np.percentile(played, percent), rel=0.04)


def test_a_model_with_other_times_is_told_from_the_simulation() -> None:
    times = SHAPES["a constant and a line"]
    rate = 0.8 * capacity(times)
    played = simulate(poisson(rate, 50_000, 5), times)
    for wrong in (times * 1.1, times[:8]):
        found = stay(rate, wrong)
        assert abs(found.quantile(99) / np.percentile(played, 99) - 1) > 0.08


def test_several_servers_do_no_worse_than_their_share_at_random_says() -> None:
    times, servers = SHAPES["a constant and a line"], 3
    arrivals = poisson(servers * 0.7 * capacity(times), 20_000, 6)
    share = stay(0.7 * capacity(times), times)
    at_random = simulate_several(arrivals, times, servers, "random")
    assert share.quantile(99) == pytest.approx(np.percentile(at_random, 99), rel=0.05)
    assert np.percentile(simulate_several(arrivals, times, servers, "least"), 99) < share.quantile(
        99
    )


def test_one_server_of_several_is_the_simulation_of_one() -> None:
    times, arrivals = SHAPES["two at most"], poisson(100, 500, 1)
    assert simulate_several(arrivals, times, 1, "least") == pytest.approx(simulate(arrivals, times))


def test_more_than_it_can_bear_is_refused() -> None:
    times = line(0.0, 0.001, 4)
    assert capacity(times) == pytest.approx(1000)
    for rate in (1000.0, 2000.0, 0.0, 999.9999):
        with pytest.raises(OverloadedError):
            stay(rate, times)

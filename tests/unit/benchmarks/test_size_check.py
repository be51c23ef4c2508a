"""The check of the sizing model: what it makes of measured figures."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks.runtimes.draw import between
from benchmarks.size_check.__main__ import off
from benchmarks.size_check.draw import FILE, PAGE, drawn, recorded
from benchmarks.size_check.measure import beside, fitted, slower
from benchmarks.size_check.simulation import poisson, simulate
from lrn_deploy.load.schema import Generator, Samples, Step
from lrn_deploy.sizing.bulk_queue import Floats, capacity
from lrn_deploy.sizing.service import MEASURED, Curve, Overhead

TIMES = np.array([[0.004 + 0.001 * size] for size in range(1, 9)])


def test_the_overhead_is_fitted_to_the_processor_times() -> None:
    """100 us a request, 0.4 ns a byte, 50 us a batch, from four measurements that have them."""
    measured = [
        {
            "bytes": nbytes,
            "answers": 1000,
            "batches": batches,
            "server_cpu_s": 1000 * (100e-6 + 0.4e-9 * nbytes) + 50e-6 * batches,
        }
        for nbytes in (154_587, 618_348)
        for batches in (1000, 80)
    ]
    found = fitted(measured)
    assert found.per_request == pytest.approx(100e-6)
    assert found.per_byte == pytest.approx(0.4e-9)
    assert found.per_batch == pytest.approx(50e-6)


def test_the_pace_is_what_the_servers_batches_took_over_what_they_were_to_take() -> None:
    """3 batches of 1 and 2 of 4 were to take 3 x 10 + 2 x 30 ms, and took 135."""
    curve = Curve("model", "cpu", 1, {1: np.full(4, 0.010), 4: np.full(4, 0.030)})
    before = {1: (10, 0.5)}
    after = {1: (13, 0.5 + 0.045), 4: (2, 0.090)}
    assert slower(curve, before, after) == pytest.approx(1.5)


def step(rate: float, arrivals: Floats, stays: Floats) -> Step:
    return Step(
        rate=rate,
        seconds=float(arrivals[-1]),
        sent=len(arrivals),
        answered=len(arrivals),
        errors={},
        offered=rate,
        throughput=rate,
        backlog=0,
        latency=None,
        generator=Generator(busy=0.1, late_p50=0, late_p99=0, late_max=0, held=0),
        samples=Samples(
            due=tuple(arrivals),
            late=(0.0,) * len(arrivals),
            latency=tuple(stays),
            outcome=(0,) * len(arrivals),
            outcomes=("answered",),
        ),
    )


@cache
def level(slower: float = 1.0) -> dict[str, Any]:
    rate = 0.6 * capacity(TIMES)
    arrivals = poisson(rate, 1500, 9)
    stays = slower * simulate(arrivals, TIMES)
    return beside(step(rate, arrivals, stays), TIMES, 0.6)


def network(of: dict[str, Any], measured: float = 1.0) -> dict[str, Any]:
    saturated = {
        "predicted_per_second": 1.0,
        "measured_per_second": measured,
        "slower_than_profiled": 1.0,
    }
    of = {"slower_than_profiled": 1.1} | of
    return {"model": "net", "saturated": saturated, "levels": [of]}


def test_a_server_that_is_as_the_model_says_is_within() -> None:
    told = level()
    assert told["same_arrivals_simulated_s"] == pytest.approx(told["measured_s"])
    low, high = told["p99_of_runs_as_long_s"]
    assert low < told["measured_s"]["99"] < high
    assert low < told["predicted_s"]["99"] < high
    assert off([network(told)]) == []


def test_a_server_that_is_slower_is_told() -> None:
    (said,) = off([network(level(1.4))])
    assert said.startswith("net at 60%, p99: 0.")
    assert off([network(level(), measured=0.8)]) == ["net, saturated: 1.25 times what was measured"]
    lost = level() | {"throughput": 0.5 * level()["rate"]}
    assert off([network(lost)]) == ["net at 60%: 0.50 of what came was answered"]


def recorded_result() -> dict[str, Any]:
    return {
        "machine": {"processor": "P"},
        "date": "2026-01-02",
        "quiet": {"quiet": True},
        "limits": {"throughput": 0.1, "p99": 0.2},
        "networks": [network(level()) | {"max_batch_size": 8}],
        "off": [],
    }


def test_the_table_has_every_level_and_the_verdict() -> None:
    text = drawn(recorded_result())
    (row,) = (line for line in text.splitlines() if line.startswith("| `net`"))
    assert "| 60% |" in row
    assert (
        "Saturated, `net` should do 1 requests a second at the speed of that moment and did 1, 1.00"
        in text
    )
    assert text.endswith("20% of p99 for the same arrivals: everything is within it.")
    assert drawn(recorded_result() | {"off": ["so much"]}).endswith("missed by so much.")


@pytest.mark.skipif(not FILE.exists(), reason="made by python -m benchmarks.size_check")
def test_the_documentation_is_what_was_recorded() -> None:
    text = PAGE.read_text(encoding="utf-8")
    result = recorded()
    assert result["off"] == off(result["networks"])
    assert between(text, "size", drawn(result)) == text, (
        "draw it again: python -m benchmarks.size_check.draw"
    )


@pytest.mark.skipif(not FILE.exists(), reason="made by python -m benchmarks.size_check")
def test_the_overhead_that_is_assumed_is_near_what_was_measured() -> None:
    """For requests of AlexNet's size, one alone in its batch and many."""
    found = Overhead(**recorded()["overhead"]["fitted"])
    for batch in (1, 16):
        pair = [one.of_request(618_848) + one.per_batch / batch for one in (found, MEASURED)]
        assert 0.5 < pair[0] / pair[1] < 2

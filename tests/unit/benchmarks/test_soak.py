"""How sure a slope is, told from series whose slope is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soak.__main__ import BLOCK, BOUNDS, Samples, slopes_of
from benchmarks.soak.slope import Slope, slope
from benchmarks.usage import Usage

MIB = 2**20


def clinging(rng: np.random.Generator, count: int, hold: float) -> np.ndarray:
    """Noise each of whose samples is much like the one before."""
    noise = np.zeros(count)
    for at in range(1, count):
        noise[at] = hold * noise[at - 1] + rng.normal()
    return noise


def test_a_line_has_its_own_slope_and_no_doubt() -> None:
    seconds = np.arange(60.0)
    found = slope(seconds, 5 + 0.5 * seconds, block=10, resamples=20)
    assert found.per_hour == pytest.approx(1800)
    assert found.low == pytest.approx(1800)
    assert found.high == pytest.approx(1800)
    assert slope(seconds, np.full(60, 7.0), block=10, resamples=20) == Slope(0, 0, 0)


def test_spikes_do_not_turn_the_line() -> None:
    seconds = np.arange(100.0)
    values = 0.1 * seconds
    values[90:] += 1000  # which turn the line of least squares
    assert np.polyfit(seconds, values, 1)[0] > 4
    assert slope(seconds, values, block=10, resamples=20).per_hour < 3600 * 0.2


def test_the_interval_holds_the_slope_as_often_as_it_says_although_samples_cling() -> None:
    seconds, rng = np.arange(200.0), np.random.default_rng(1)
    blocks = singles = 0
    for _ in range(40):
        values = 0.02 * seconds + clinging(rng, 200, 0.8)
        by_block = slope(seconds, values, block=25, resamples=100)
        by_one = slope(seconds, values, block=1, resamples=100)
        blocks += by_block.low <= 72 <= by_block.high
        singles += by_one.low <= 72 <= by_one.high
    assert blocks >= 32  # of 38 on average
    assert singles <= 26 < blocks  # what drawing them one by one would make of it


def test_verdicts() -> None:
    assert Slope(0, -5, 5).verdict(6) == "steady"
    assert Slope(5, -5, 15).verdict(6) == "unclear"
    assert Slope(15, 7, 20).verdict(6) == "leaks"
    with pytest.raises(ValueError, match="no two blocks of 30"):
        slope(np.arange(59.0), np.zeros(59), block=30)


def held(memory: float = 0.0, files: float = 0.0, threads: float = 0.0) -> Samples:
    """Ten minutes of a server that has leaks, so much an hour, beneath what is usual."""
    rng = np.random.default_rng(3)
    seconds = np.arange(1.0, 601.0)
    rest = 200 * MIB + 64 * 2**10 * clinging(rng, 600, 0.9)
    rest[:40] -= np.linspace(30 * MIB, 0, 40)  # which is no leak, but the beginning
    visitors = rng.integers(0, 2, 600)
    hours = seconds / 3600
    return Samples(
        seconds.tolist(),
        [
            Usage(
                int(rest[at] + memory * hours[at]), 30 + visitors[at] + int(files * hours[at]), 20
            )
            if not threads
            else Usage(int(rest[at]), 30, 20 + int(threads * hours[at]))
            for at in range(600)
        ],
    )


@pytest.mark.parametrize(
    ("samples", "leaks"),
    [
        (held(), set()),
        (held(memory=4 * BOUNDS["memory_bytes"]), {"memory_bytes"}),
        (held(files=60), {"files"}),
        (held(threads=60), {"threads"}),
    ],
)
def test_ten_minutes_are_enough_to_tell_a_leak(samples: Samples, leaks: set[str]) -> None:
    found = {
        name: told["verdict"] for name, told in slopes_of(samples, BLOCK, resamples=200).items()
    }
    assert {name for name, verdict in found.items() if verdict == "leaks"} == leaks
    assert {name for name, verdict in found.items() if verdict == "steady"} == set(BOUNDS) - leaks

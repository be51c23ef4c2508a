"""The search for the knee, on servers that are formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lrn_deploy.load.ramp import CLOSENESS, find_knee, judged
from lrn_deploy.load.schema import Generator, Latency, Samples, Step

LIMIT = 0.1


def step(rate: float, **further: Any) -> Step:
    told: dict[str, Any] = {
        "rate": rate,
        "seconds": 10.0,
        "sent": int(10 * rate),
        "answered": int(10 * rate),
        "errors": {},
        "offered": rate,
        "throughput": rate,
        "backlog": 0,
        "latency": latency(0.01),
        "generator": Generator(busy=0.1, late_p50=0, late_p99=0, late_max=0, held=0),
        "samples": Samples(due=(), late=(), latency=(), outcome=(), outcomes=()),
    }
    return Step(**told | further)


def latency(p99: float | None, longest: float = 0.0) -> Latency:
    return Latency(count=1000, p50=0.01, p90=0.01, p99=p99, p999=None, max=longest, mean=0.01)


def queue(capacity: float) -> Callable[[float], Step]:
    """A server whose p99 grows as that of an M/M/1 queue, and that falls behind beyond it."""

    def measure(rate: float) -> Step:
        if rate >= capacity:
            behind = int(10 * (rate - capacity))
            return judged(step(rate, backlog=behind, latency=latency(5.0)), LIMIT)
        return judged(step(rate, latency=latency(4.6 / (capacity - rate))), LIMIT)

    return measure


@pytest.mark.parametrize("capacity", [100.0, 777.0, 12_345.0])
def test_the_knee_is_where_p99_passes_its_limit(capacity: float) -> None:
    knee = find_knee(queue(capacity), first=10.0, limit=LIMIT)
    true = capacity - 4.6 / LIMIT
    assert knee.rate is not None
    assert knee.beyond is not None
    assert knee.rate <= true < knee.beyond
    assert knee.beyond / knee.rate <= CLOSENESS
    assert not knee.of_generator


def test_a_first_rate_that_is_too_high_is_halved() -> None:
    knee = find_knee(queue(100.0), first=400.0, limit=LIMIT)
    assert knee.rate is not None
    assert knee.rate <= 54 < (knee.beyond or 0)


def test_a_server_that_keeps_up_with_nothing_has_no_knee() -> None:
    asked = []

    def failing(rate: float) -> Step:
        asked.append(rate)
        return judged(step(rate, errors={"503": 999}, sent=1000), LIMIT)

    knee = find_knee(failing, first=64.0, limit=LIMIT)
    assert knee.rate is None
    assert "999 of 1000 requests failed, most by: 503" in knee.reason
    assert min(asked) == 1.0


def test_a_rate_that_failed_is_tried_once_more() -> None:
    """A machine that was busy elsewhere for a moment does not move the knee."""
    hiccups = {20.0: 1, 40.0: 1}
    plain = queue(100.0)

    def measure(rate: float) -> Step:
        if hiccups.pop(rate, 0):
            return judged(step(rate, latency=latency(9.0)), LIMIT)
        return plain(rate)

    knee = find_knee(measure, first=10.0, limit=LIMIT)
    assert not hiccups
    assert knee.rate is not None
    assert 51 < knee.rate <= 54


def test_a_generator_that_ends_first_is_said() -> None:
    def measure(rate: float) -> Step:
        own = Generator(busy=1, late_p50=1, late_p99=0.95, late_max=1, held=0, reason="too slow")
        further = {"generator": own, "latency": latency(1.0)} if rate > 300 else {}
        return judged(step(rate, **further), LIMIT)

    knee = find_knee(measure, first=100.0, limit=LIMIT)
    assert knee.of_generator
    assert knee.rate == 200
    assert knee.reason == "the load generator itself was the bottleneck: too slow"


def test_a_server_that_is_slow_all_the_same_is_no_fault_of_the_generators() -> None:
    own = Generator(busy=1, late_p50=0, late_p99=0.005, late_max=1, held=0, reason="5 ms late")
    found = judged(step(100.0, generator=own, latency=latency(1.0)), LIMIT)
    assert not found.of_generator
    assert "p99 was 1e+03 ms" in found.reason
    just = own.model_copy(update={"late_p99": 0.1})
    assert judged(step(100.0, generator=just, latency=latency(0.2)), LIMIT).of_generator
    refused = judged(step(100.0, generator=own, errors={"429": 500}), LIMIT)
    assert not refused.of_generator
    assert "429" in refused.reason


def test_a_run_that_was_stopped_ends_the_search() -> None:
    def measure(rate: float) -> Step:
        return judged(step(rate, complete=rate < 40), LIMIT)

    knee = find_knee(measure, first=10.0, limit=LIMIT)
    assert (knee.rate, knee.beyond) == (20.0, None)


@pytest.mark.parametrize("of_generator", [True, False])
def test_what_ends_the_search_does_so_between_its_ends_too(of_generator: bool) -> None:
    """It keeps up with 40, and not with 80; between them the generator fails, or it is stopped."""
    asked = []

    def measure(rate: float) -> Step:
        asked.append(rate)
        ends = 40 < rate < 80
        own = Generator(busy=1, late_p50=1, late_p99=5, late_max=5, held=0, reason="too slow")
        late = {"generator": own} if ends and of_generator else {}
        slow = latency(5.0 if rate > 40 else 0.01)
        return judged(step(rate, latency=slow, complete=of_generator or not ends, **late), LIMIT)

    knee = find_knee(measure, first=10.0, limit=LIMIT)
    assert knee.rate == 40
    assert knee.of_generator is of_generator
    assert knee.beyond == (pytest.approx(40 * 2**0.5) if of_generator else None)
    assert asked[:5] == [10, 20, 40, 80, 80]
    assert asked[5:] == pytest.approx([40 * 2**0.5] * (2 if of_generator else 1))


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({}, ""),
        ({"latency": latency(0.0999)}, ""),
        ({"latency": latency(LIMIT)}, ""),
        ({"latency": latency(0.1001)}, "p99 was 100 ms, over 100 ms"),
        ({"latency": latency(None, longest=0.2)}, "p99 was 200 ms"),
        ({"errors": {"lost": 10}}, ""),  # of 1000
        ({"errors": {"lost": 11}}, "11 of 1000 requests failed, most by: lost"),
        ({"errors": {"lost": 11, "503": 12}}, "23 of 1000 requests failed, most by: 503"),
        ({"backlog": 20}, ""),
        ({"backlog": 21}, "21 of 1000 requests had still to be answered"),
        ({"sent": 10, "backlog": 3}, ""),
        ({"sent": 10, "backlog": 4}, "4 of 10 requests had still"),
        ({"latency": None}, "nothing was answered"),
        ({"complete": False}, "not measured to its end"),
    ],
)
def test_keeping_up_is_as_defined(further: dict[str, Any], said: str) -> None:
    found = judged(step(100.0, **further), LIMIT)
    assert found.kept == (not said)
    assert said in found.reason

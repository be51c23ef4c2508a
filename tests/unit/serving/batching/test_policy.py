"""When a batch leaves, with times computed by hand."""

from __future__ import annotations

import pytest

from lrn_deploy.serving.batching.policy import Adaptive, Decision, Fixed, LatencyModel
from lrn_deploy.serving.batching.queue import NextBatch

MS = 1_000_000


def line(a: float, b: float) -> LatencyModel:
    """A model that has seen batches that took a ms for each row and b ms besides."""
    model = LatencyModel()
    for rows in (1, 2, 4, 8):
        model.add(rows, (a * rows + b) * MS)
    return model


def test_the_latency_model_finds_the_line() -> None:
    assert line(2, 3).line() == pytest.approx((2 * MS, 3 * MS))
    assert line(2, 3)(10) == pytest.approx(23 * MS)


def test_the_latency_model_of_one_size_is_proportional() -> None:
    model = LatencyModel()
    assert (model.known, model(5)) == (False, 0)
    for _ in range(10):
        model.add(4, 8 * MS)
    assert model(2) == pytest.approx(4 * MS)


def test_the_latency_model_forgets() -> None:
    model = line(2, 3)
    for _ in range(20):
        for rows in (1, 2, 4, 8):
            model.add(rows, (5 * rows + 1) * MS)
    assert model(8) == pytest.approx(41 * MS, rel=0.05)


def test_adaptive_never_waits() -> None:
    assert Adaptive(16).decide(NextBatch(1, False, 0), 0, LatencyModel()) == Decision(16, 0)


@pytest.mark.parametrize(
    ("waited", "rows"),
    [
        (0, 8),  # 20 ms are left: 2 n + 3 <= 20
        (10, 3),  # 10 ms are left
        (16, 1),  # 4 ms: nothing fits, but one must go
        (20, 16),  # nothing is left
        (21, 16),  # too late anyway: clear the queue
    ],
)
def test_adaptive_keeps_batches_under_the_objective(waited: int, rows: int) -> None:
    policy = Adaptive(16, slo_ns=20 * MS)
    assert policy.decide(NextBatch(16, True, 0), waited * MS, line(2, 3)) == Decision(rows)


@pytest.mark.parametrize(
    ("front", "now", "decision"),
    [
        (NextBatch(3, False, 0), 0, Decision(8, 5 * MS)),
        (NextBatch(3, False, 0), 2 * MS, Decision(8, 3 * MS)),
        (NextBatch(3, False, 0), 5 * MS, Decision(8)),
        (NextBatch(3, True, 0), 0, Decision(8)),
        (NextBatch(8, True, 0), 0, Decision(8)),
        (NextBatch(4, False, 0), 0, Decision(4)),
        (NextBatch(5, False, 0), 0, Decision(4)),
    ],
)
def test_fixed_waits_for_the_delay_a_preferred_size_or_a_full_batch(
    front: NextBatch, now: int, decision: Decision
) -> None:
    assert Fixed(8, 5 * MS, (4,)).decide(front, now, LatencyModel()) == decision


def test_fixed_without_a_delay_releases_at_once() -> None:
    assert Fixed(8).decide(NextBatch(1, False, 0), 0, LatencyModel()) == Decision(8)


def test_the_latency_model_follows_a_network_that_became_slower_within_fifty_batches() -> None:
    model = LatencyModel()
    for milliseconds, batches in ((10, 500), (20, 50)):
        for _ in range(batches):
            model.add(1, milliseconds * MS)
    # After 50 batches an old one weighs (1 - 1/50)^50 = 0.364: 20 - 0.364 * (20 - 10)
    assert model(1) == pytest.approx(16.36 * MS, rel=1e-3)


def test_a_batch_never_takes_less_than_nothing_before_its_first_row() -> None:
    model = LatencyModel()
    model.add(1, 1 * MS)
    model.add(8, 16 * MS)  # more than eight times as long: the line would start below 0
    a, b = model.line()
    assert b == pytest.approx(0, abs=1)
    assert a == pytest.approx((0.98 * 1 + 16) / (0.98 * 1 + 8) * MS)  # time by rows


def test_adaptive_that_knows_no_time_for_a_row_takes_what_there_is() -> None:
    policy = Adaptive(16, slo_ns=20 * MS)
    assert policy.decide(NextBatch(16, True, 0), 0, LatencyModel()) == Decision(16)
    assert policy.decide(NextBatch(16, True, 0), 0, line(0, 3)) == Decision(16)


def test_a_network_that_takes_less_for_more_rows_takes_nothing_for_a_row() -> None:
    model = LatencyModel()
    for rows, milliseconds in ((1, 10), (2, 6)):
        model.add(rows, milliseconds * MS)
    a, b = model.line()
    assert a == 0
    assert b == pytest.approx((0.98 * 10 + 6) / 1.98 * MS)


def test_sizes_that_hardly_differ_still_make_a_line() -> None:
    model = LatencyModel()
    for rows, nanoseconds in ((1000, 2003), (1001, 2005)):
        model.add(rows, nanoseconds)
    assert model.line() == pytest.approx((2, 3), rel=1e-3)

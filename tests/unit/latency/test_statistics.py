from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.latency.statistics import (
    Interval,
    judge,
    median_interval,
    noise,
    normalised_interval,
    pooled,
    ratio_interval,
    ratio_of_medians,
    summarize,
    throughput,
)

Rounds = list[list[float]]
times = st.floats(1e-6, 10.0)
rounds = st.lists(st.lists(times, min_size=1, max_size=4), min_size=5, max_size=12)


def test_percentiles_by_hand() -> None:
    # 1 ... 11 ms: the k-th percentile lies at 1 + k/10 ms.
    summary = summarize([[0.001 * value for value in range(1, 12)]])
    assert summary.count == 11
    assert summary.p5 == pytest.approx(0.0015)
    assert summary.p50 == pytest.approx(0.006)
    assert summary.p90 == pytest.approx(0.010)
    assert summary.p99 == pytest.approx(0.0109)
    assert summary.max == 0.011
    assert summary.mean == pytest.approx(0.006)


def test_percentiles_are_of_the_pool_not_of_percentiles() -> None:
    # The rounds' medians are 1, 1 and 9, whose median is 1; of all seven samples it is 9.
    assert summarize([[1.0], [1.0], [9.0, 9.0, 9.0, 9.0, 9.0]]).p50 == 9.0


def test_no_samples_are_no_summary() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


def test_throughput_is_items_over_total_time() -> None:
    # 3 runs of 8 items in 0.1 + 0.2 + 0.3 s: 24 / 0.6.
    assert throughput([[0.1, 0.2], [0.3]], 8) == pytest.approx(40.0)


def test_intervals_of_constant_samples_have_no_width() -> None:
    assert median_interval([[2.0]] * 6) == Interval(2.0, 2.0, 2.0)
    assert ratio_interval([[3.0]] * 6, [[2.0]] * 6) == Interval(1.5, 1.5, 1.5)


def test_a_drift_common_to_both_leaves_the_ratio_alone() -> None:
    slower = [1.0 + 0.1 * turn for turn in range(20)]
    interval = ratio_interval([[2 * value] for value in slower], [[value] for value in slower])
    assert (interval.low, interval.high) == pytest.approx((2.0, 2.0))


def test_a_machine_that_changes_its_speed_does_not_come_between_neighbours() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        machine = rng.choice([1.0, 1.4], 40)  # by neighbours on the host, for a round or more
        ours = [[1.1 * speed * value for value in rng.normal(1, 0.02, 5)] for speed in machine]
        theirs = [[speed * value for value in rng.normal(1, 0.02, 5)] for speed in machine]
        interval = ratio_interval(ours, theirs, seed=seed)
        assert 1.08 < interval.low <= interval.high < 1.12
        assert interval.high - interval.low < 0.03


def test_the_ratio_of_medians_pools_the_samples_of_all_rounds() -> None:
    # Medians 3 and 2; the rounds' ratios are 1/2, 3/2, 3, 2, 5/2, whose median is 2.
    ours, theirs = [[1.0], [3.0], [3.0], [4.0], [5.0]], [[2.0], [2.0], [1.0], [2.0], [2.0]]
    assert ratio_of_medians(ours, theirs).estimate == pytest.approx(1.5)
    assert ratio_interval(ours, theirs).estimate == pytest.approx(2.0)


def test_the_ratio_of_medians_draws_the_same_rounds_of_both() -> None:
    slower = [1.0 + 0.1 * turn for turn in range(20)]
    interval = ratio_of_medians([[2 * value] for value in slower], [[value] for value in slower])
    assert (interval.low, interval.high) == pytest.approx((2.0, 2.0))


@pytest.mark.parametrize("interval", [ratio_interval, ratio_of_medians])
def test_a_round_that_only_one_completed_is_left_out(
    interval: Callable[[Rounds, Rounds], Interval],
) -> None:
    assert interval([[1.0]] * 5 + [[100.0]], [[1.0]] * 5).estimate == 1.0


def test_fewer_than_five_rounds_give_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 5 rounds, got 4"):
        median_interval([[1.0]] * 4)


def test_normalising_takes_a_slower_machine_out() -> None:
    # Twice as slow a machine: artifact and calibration both take twice as long.
    interval = normalised_interval(([[4.0]] * 5, [[2.0]] * 5), ([[2.0]] * 5, [[1.0]] * 5))
    assert interval == Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (1.06, 1.20, "regression"),
        (1.04, 1.20, "inconclusive"),
        (0.90, 1.05, "within"),
        (0.50, 0.60, "within"),
    ],
)
def test_only_a_whole_interval_is_an_answer(low: float, high: float, answer: str) -> None:
    assert judge(Interval(low, (low + high) / 2, high), 0.05) == answer


def test_the_middle_of_an_interval_covers_the_truth() -> None:
    # 95 % intervals of 100 experiments: about 95 hold the true median, and 85 with odds of 1e-4.
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(100):
        interval = median_interval(rng.lognormal(0.0, 0.1, (30, 1)).tolist())
        held += interval.low <= 1.0 <= interval.high
    assert held > 85


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([[1.0]] * 4, "only 4 rounds"),
        ([[1.0]] * 10 + [[1.2]] * 10, "moved by +20%"),
        ([[1.0, 2.0, 1.0, 2.0]] * 10, "spreads over 67%"),
        ([[value] for value in (1.0, 1.5) * 5], "known only to within"),
    ],
)
def test_noise_is_told_with_its_reason(samples: Rounds, reason: str) -> None:
    verdict = noise(samples)
    assert verdict.noisy
    assert reason in " ".join(verdict.reasons)


def test_quiet_samples_are_trusted() -> None:
    rng = np.random.default_rng(0)
    assert not noise((0.01 * rng.lognormal(0, 0.02, (30, 3))).tolist()).noisy


def machine(rng: np.random.Generator, count: int = 30) -> tuple[Rounds, Rounds]:
    """Two candidates of 10 ms: 3 % of scatter, spikes, and a drift that both share."""
    drift = 1 + 0.05 * np.sin(np.linspace(0, rng.uniform(1, 9), count)) + rng.normal(0, 0.02, count)
    first, second = (
        0.01
        * drift[:, None]
        * rng.lognormal(0, 0.03, (count, 2))
        * (1 + (rng.random((count, 2)) < 0.05) * rng.uniform(0.2, 2.0, (count, 2)))
        for _ in range(2)
    )
    return first.tolist(), second.tolist()


def test_a_slowdown_of_a_tenth_is_caught_and_none_is_not() -> None:
    caught = false_alarms = 0
    for seed in range(20):
        ours, theirs = machine(np.random.default_rng(seed))
        slower = [[1.10 * value for value in samples] for samples in ours]
        caught += judge(ratio_interval(slower, theirs), 0.05) == "regression"
        false_alarms += judge(ratio_interval(ours, theirs), 0.05) == "regression"
    assert caught >= 19
    assert false_alarms <= 1


@settings(max_examples=40)
@given(rounds)
def test_percentiles_are_ordered_and_within_the_samples(samples: Rounds) -> None:
    summary = summarize(samples)
    points = [summary.p5, summary.p25, summary.p50, summary.p75, summary.p90, summary.p95]
    assert [min(pooled(samples)), *points, summary.p99, summary.max] == sorted(
        [min(pooled(samples)), *points, summary.p99, summary.max]
    )
    assert summary.max == max(pooled(samples))


@settings(max_examples=40)
@given(rounds, st.sampled_from([0.25, 2.0, 8.0]))
def test_a_ratio_to_oneself_scaled_is_the_scale(samples: Rounds, factor: float) -> None:
    scaled = [[factor * value for value in taken] for taken in samples]
    interval = ratio_interval(scaled, samples)
    assert (interval.low, interval.estimate, interval.high) == (factor, factor, factor)


@settings(max_examples=40)
@given(rounds)
def test_an_interval_lies_within_the_samples(samples: Rounds) -> None:
    interval = median_interval(samples)
    values = pooled(samples)
    assert values.min() <= interval.low <= interval.high <= values.max()


@settings(max_examples=40)
@given(rounds, st.integers(1, 64))
def test_throughput_scales_with_the_batch(samples: Rounds, batch: int) -> None:
    assert throughput(samples, batch) == pytest.approx(batch * throughput(samples, 1))


def test_five_rounds_are_enough_and_a_median_known_to_7_percent_is_not() -> None:
    # Of five draws with replacement at least three are 0.93 in 32 of 100, so that is the low end
    # of the interval, and 1.07 the high one: 0.14 wide, 7 % on either side of 1. Both halves of
    # the run have the median 1.
    verdict = noise([[0.93], [1.07], [1.0], [0.93], [1.07]])
    assert verdict.reasons == ("the median is known only to within 7%",)
    assert verdict.median_width == pytest.approx(0.07)
    assert not noise([[0.97], [1.03], [1.0], [0.97], [1.03]]).noisy


def test_a_machine_that_became_faster_is_noise_too() -> None:
    reasons = noise([[1.2]] * 10 + [[1.0]] * 10).reasons
    assert "the median moved by -17% from the first half to the second" in reasons


def test_a_limit_that_is_only_reached_is_no_regression() -> None:
    assert judge(Interval(1.25, 1.3, 1.4), 0.25) == "inconclusive"
    assert judge(Interval(1.1, 1.2, 1.25), 0.25) == "within"


def test_two_runs_with_the_same_samples_are_still_two_runs() -> None:
    """Were the same rounds drawn of both, the interval would claim to know the ratio exactly."""
    samples = [[1.0], [1.1], [1.2], [1.3], [1.4], [1.5]]
    run = (samples, [[1.0]] * 6)
    interval = normalised_interval(run, run)
    assert interval.estimate == 1.0
    assert interval.low < 0.95
    assert interval.high > 1.05


@pytest.mark.parametrize("count", range(1, 8))
def test_the_halves_of_a_drift_are_cut_in_the_middle(count: int) -> None:
    """Of an odd number of rounds the second half has one more."""
    half = count // 2
    rounds = [[1.0]] * half + [[2.0]] * (count - half)
    assert noise(rounds).drift == pytest.approx(1.0 if half else 0.0)


def test_a_spread_of_exactly_the_half_is_not_noisy() -> None:
    calm = noise([[0.75, 1.0, 1.25]] * 8)
    assert not calm.noisy
    assert calm.reasons == ()
    wide = noise([[0.5, 0.74, 1.0, 1.26, 1.5]] * 8)
    assert wide.reasons == ("the middle half of the samples spreads over 52% of the median",)


def test_an_interval_holds_95_of_100_draws() -> None:
    # Ten rounds of 1 to 10: of a draw's median, 2.5 in 100 lie below the low end.
    interval = median_interval([[float(value)] for value in range(1, 11)])
    assert interval.estimate == 5.5
    assert (interval.low, interval.high) == pytest.approx((3.0, 8.0), abs=0.5)
    assert median_interval([[1.0], [2.0], [3.0], [4.0], [5.0]], seed=1) == median_interval(
        [[1.0], [2.0], [3.0], [4.0], [5.0]], seed=1
    )


def test_quartiles_by_hand() -> None:
    summary = summarize([[float(value) for value in range(1, 102)]])  # the k-th lies at 1 + k
    assert (summary.p5, summary.p25, summary.p50, summary.p75) == (6, 26, 51, 76)
    assert (summary.p90, summary.p95, summary.p99, summary.max) == (91, 96, 100, 101)

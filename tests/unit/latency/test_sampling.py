from __future__ import annotations

import gc
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from lrn_deploy.latency import sampling
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.sampling import MAX_RUNS_PER_TURN, REST, interleave, warm_up
from lrn_deploy.latency.statistics import ratio_interval
from tests.support.sleepless import sleepless


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "REST", 0.0)


class Bench:
    """A clock that only the candidates advance, and a record of who ran when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def clock(self) -> float:
        return self.now

    def candidate(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes ``seconds`` in turn, and the last of them from then on."""
        left = list(seconds)

        def run() -> None:
            self.ran.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_warm_up_ends_when_the_medians_of_five_agree() -> None:
    bench = Bench()
    seen, steady = warm_up(bench.candidate("a", 8, 4, 2, 1, 1, 1, 1, 1, 1, 0.5, 0.1), bench.clock)
    # Over 3 s from the first run on, so it stops there; with shorter times it goes on.
    assert (len(seen), steady) == (1, False)
    times = [value / 100 for value in (8, 8, 8, 4, 4, 1, 1, 1, 1, 1)]
    seen, steady = warm_up(bench.candidate("a", *times), bench.clock)
    # Run 13: the median of runs 4 to 8 is 1 (4 4 1 1 1), as is that of runs 9 to 13.
    assert (len(seen), steady) == (13, True)


def test_warm_up_gives_up_on_times_that_never_settle() -> None:
    bench = Bench()
    growing = [0.0001 * 1.2**turn for turn in range(100)]
    seen, steady = warm_up(bench.candidate("a", *growing), bench.clock)
    assert not steady
    assert sum(seen) >= 3.0


def test_all_run_in_every_round_in_changing_order() -> None:
    bench = Bench()
    candidates = {name: bench.candidate(name, 0.06) for name in "abc"}
    run = interleave(candidates, Effort(rounds=12), clock=bench.clock)
    assert run.complete
    assert all(len(item.rounds) == 12 for item in run.samples.values())
    rounds = ["".join(bench.ran[30:][at : at + 3]) for at in range(0, 36, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len(set(rounds)) > 3


def test_a_short_candidate_gets_an_untimed_run_and_several_timed_ones() -> None:
    bench = Bench()
    run = interleave({"a": bench.candidate("a", 0.002)}, Effort(rounds=2), clock=bench.clock)
    samples = run.samples["a"]
    assert [len(taken) for taken in samples.rounds] == [5, 5]  # 10 ms of 2 ms each
    assert len(bench.ran) == samples.warmup_runs + 2 * (1 + 5)
    assert samples.rounds[0] == pytest.approx([0.002] * 5)


def test_a_very_short_candidate_runs_untimed_for_a_millisecond() -> None:
    bench = Bench()
    run = interleave({"a": bench.candidate("a", 0.0003)}, Effort(rounds=2), clock=bench.clock)
    samples = run.samples["a"]
    assert [len(taken) for taken in samples.rounds] == [20, 20]
    untimed = len(bench.ran) - samples.warmup_runs - 2 * 20
    assert untimed == 2 * 4  # of 0.3 ms


def test_time_is_up_but_not_before_the_least_rounds() -> None:
    bench = Bench()
    candidates = {"a": bench.candidate("a", 0.5)}
    assert len(interleave(candidates, Effort(100, 3.0), clock=bench.clock).samples["a"].rounds) == 6
    assert len(interleave(candidates, Effort(100, 0.1), clock=bench.clock).samples["a"].rounds) == 5


def test_ctrl_c_keeps_what_was_measured() -> None:
    bench = Bench()
    quick = bench.candidate("a", 0.1)

    def stop() -> None:
        if len(bench.ran) >= 17:
            raise KeyboardInterrupt
        quick()

    run = interleave({"a": stop}, Effort(rounds=50), clock=bench.clock)
    assert not run.complete
    assert len(run.samples["a"].rounds) == 17 - run.samples["a"].warmup_runs
    assert gc.isenabled()


def test_one_that_fails_stops_alone() -> None:
    bench = Bench()

    def broken() -> None:
        bench.ran.append("broken")
        raise ValueError("no kernel")

    candidates = {"broken": broken, "good": bench.candidate("good", 0.1), "again": broken}
    run = interleave(candidates, Effort(rounds=5), expected=(ValueError,), clock=bench.clock)
    assert run.complete
    for name in ("broken", "again"):
        assert run.samples[name] == sampling.Timings(error="no kernel")
    assert bench.ran.count("broken") == 2
    assert len(run.samples["good"].rounds) == 5
    with pytest.raises(ValueError, match="no kernel"):
        interleave(candidates, Effort(rounds=5), clock=bench.clock)


def test_the_real_clock_takes_no_sleep_for_shorter_than_it_is() -> None:
    import time

    candidates = {"slow": lambda: time.sleep(0.004), "fast": lambda: time.sleep(0.002)}
    run = interleave(candidates, Effort(rounds=5))
    least = {name: min(map(min, taken.rounds)) for name, taken in run.samples.items()}
    assert 0.004 <= least["slow"] < 0.2
    assert 0.002 <= least["fast"] < 0.2


def test_ten_and_twelve_milliseconds_are_told_apart() -> None:
    bench, rng = Bench(), np.random.default_rng(0)

    def sleeps(seconds: float) -> Callable[[], None]:
        return lambda: bench.candidate("", seconds * float(rng.lognormal(0, 0.02)))()

    run = interleave(
        {"slow": sleeps(0.012), "fast": sleeps(0.01)}, Effort(rounds=15), clock=bench.clock
    )
    interval = ratio_interval(run.samples["slow"].rounds, run.samples["fast"].rounds)
    assert 1.15 < interval.low <= interval.high < 1.25


def test_a_turn_waits_until_the_threads_of_the_one_before_stop_spinning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import time

    monkeypatch.setattr(sampling, "REST", REST)
    spinning_until = 0.0
    disturbed = []

    def spins() -> None:
        nonlocal spinning_until
        spinning_until = time.perf_counter() + 0.02

    def notices() -> None:
        disturbed.append(time.perf_counter() < spinning_until)

    interleave({"spins": spins, "notices": notices}, Effort(rounds=3))
    assert not any(disturbed[-3 * (1 + MAX_RUNS_PER_TURN) :])


def test_whoever_does_not_remain_runs_no_more_and_nobody_ends_it() -> None:
    bench = Bench()
    candidates = {name: bench.candidate(name, 0.06) for name in "abc"}

    def remaining(rounds: Mapping[str, list[list[float]]]) -> set[str]:
        done = len(next(iter(rounds.values())))
        return set() if done == 7 else set(rounds) - ({"b"} if done == 3 else set())

    run = interleave(candidates, Effort(rounds=20), remaining=remaining, clock=bench.clock)
    assert run.complete
    assert {name: len(item.rounds) for name, item in run.samples.items()} == {
        "a": 7,
        "b": 3,
        "c": 7,
    }


def blocks(*levels: float) -> list[float]:
    """Five runs on each level."""
    return [level for level in levels for _ in range(5)]


@pytest.mark.parametrize(
    ("times", "runs", "steady"),
    [
        ([0.001], 10, True),  # the last five and the five before
        (blocks(0.001, 0.00104), 10, True),
        (
            blocks(*(0.001 * 1.07**step for step in range(20)), 0.003),
            108,
            True,
        ),  # three on the last
        (blocks(*[0.001, 0.002] * 20), 200, False),  # which would go on for ever
        ([0.5], 6, False),
        ([1.0, 1.0, 0.5], 4, False),
    ],
)
def test_when_warm_up_ends(times: list[float], runs: int, steady: bool) -> None:
    bench = Bench()
    seen, ended = warm_up(bench.candidate("a", *times), bench.clock)
    assert (len(seen), ended) == (runs, steady)
    assert len(bench.ran) == runs


@pytest.mark.parametrize(
    ("seconds", "untimed", "timed"),
    [(0.0501, 0, 1), (0.0499, 1, 3), (0.006, 1, 3), (0.0025, 1, 4), (0.002, 1, 5), (0.0004, 3, 20)],
)
def test_how_often_a_network_runs_in_its_turn(seconds: float, untimed: int, timed: int) -> None:
    """10 ms at least, three times at least and twenty at most; one run if it takes 50 ms."""
    bench = Bench()
    run = interleave({"a": bench.candidate("a", seconds)}, Effort(rounds=2), clock=bench.clock)
    samples = run.samples["a"]
    assert [len(taken) for taken in samples.rounds] == [timed, timed]
    assert len(bench.ran) == samples.warmup_runs + 2 * (untimed + timed)
    assert samples.steady == (seconds < 0.3)


@pytest.mark.parametrize(("names", "rests"), [("a", 0), ("ab", 6)])
def test_a_turn_behind_another_candidates_begins_with_60_ms_of_rest(
    names: str, rests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = sleepless(monkeypatch, sampling)
    monkeypatch.setattr(sampling, "REST", REST)
    bench = Bench()
    interleave({n: bench.candidate(n, 0.06) for n in names}, Effort(rounds=3), clock=bench.clock)
    assert slept == [0.06] * rests


@pytest.mark.parametrize("collecting", [True, False])
def test_rounds_are_told_and_no_garbage_is_collected_in_them(collecting: bool) -> None:
    bench, told = Bench(), list[tuple[int, int]]()
    took = bench.candidate("a", 0.06)

    def candidate() -> None:
        assert not gc.isenabled()
        took()

    try:
        if not collecting:
            gc.disable()
        interleave(
            {"a": candidate},
            Effort(rounds=3),
            on_round=lambda done, of: told.append((done, of)),
            clock=bench.clock,
        )
        assert gc.isenabled() == collecting
    finally:
        gc.enable()
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_one_that_fails_later_keeps_the_rounds_that_it_had() -> None:
    bench = Bench()
    good, tired = bench.candidate("good", 0.1), bench.candidate("tired", 0.2)

    def tires() -> None:
        if bench.ran.count("tired") == 12:  # ten of warm-up, and two rounds
            raise ValueError("no memory")
        tired()

    run = interleave(
        {"good": good, "tires": tires}, Effort(rounds=5), expected=(ValueError,), clock=bench.clock
    )
    assert run.complete
    assert run.samples["tires"].error == "no memory"
    assert run.samples["tires"].rounds == [[pytest.approx(0.2)]] * 2
    assert run.samples["good"].rounds == [[pytest.approx(0.1)]] * 5

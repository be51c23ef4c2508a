"""Figures, worked out by hand and by HdrHistogram's own rule."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from lrn_deploy.load.drive import ANSWERED, LOST, Taken
from lrn_deploy.load.measures import corrected, step_of, summary


def taken(
    due: list[float],
    took: list[float],
    *,
    late: float = 0.0,
    outcomes: list[str] | None = None,
    **further: object,
) -> Taken:
    made = Taken(
        array("d", due),
        array("d", [at + late for at in due]),
        array("d", [at + late + one for at, one in zip(due, took, strict=True)]),
        outcomes or [ANSWERED] * len(due),
    )
    made.seconds = 10.0
    for name, value in further.items():
        setattr(made, name, value)
    return made


def test_the_warm_up_does_not_count() -> None:
    due = [at / 10 for at in range(40)]  # 10 a second for 4 s
    took = [0.5 if at < 1.0 else 0.01 for at in due]
    step = step_of(taken(due, took), warmup=1.0, seconds=3.0, rate=10.0)
    assert step.sent == step.answered == 30
    assert step.offered == pytest.approx(10.0)
    # 30 that were due and answered then, and those from before that ended in it: 5 of 0.5 to 0.9
    assert step.throughput == pytest.approx(35 / 3)
    assert step.latency is not None
    assert step.latency.max == pytest.approx(0.01)
    assert len(step.samples.due) == 40


def test_latency_counts_from_when_it_was_due_or_in_a_closed_loop_from_when_it_was_sent() -> None:
    due = [at / 10 for at in range(20)]
    made = taken(due, [0.02] * 20, late=0.03)
    opened = step_of(made, warmup=0.0, seconds=2.0, rate=10.0)
    closed = step_of(made, warmup=0.0, seconds=2.0, concurrency=1)
    assert opened.latency is not None
    assert closed.latency is not None
    assert opened.latency.p50 == pytest.approx(0.05)
    assert closed.latency.p50 == pytest.approx(0.02)
    assert opened.samples.latency[0] == pytest.approx(0.05)
    assert closed.samples.latency[0] == pytest.approx(0.02)


def test_errors_are_counted_by_kind_and_their_times_left_out() -> None:
    outcomes = [ANSWERED] * 17 + [LOST, "503 Service Unavailable", LOST]
    step = step_of(
        taken([at / 10 for at in range(20)], [0.01] * 17 + [9.0] * 3, outcomes=outcomes),
        warmup=0.0,
        seconds=2.0,
        rate=10.0,
    )
    assert step.errors == {LOST: 2, "503 Service Unavailable": 1}
    assert (step.sent, step.answered) == (20, 17)
    assert step.latency is not None
    assert step.latency.max == pytest.approx(0.01)
    assert step.backlog == 3
    assert step.samples.outcomes == ("answered", LOST, "503 Service Unavailable")
    assert step.samples.outcome[-3:] == (1, 2, 1)


def test_the_window_begins_with_the_warm_ups_end_and_ends_before_its_own() -> None:
    made = taken([0.0, 0.5, 1.5, 2.0], [0.5] * 4)  # ended at 0.5, 1, 2 and 2.5 s
    step = step_of(made, warmup=0.5, seconds=1.5, rate=1.0)
    assert (step.sent, step.answered, step.backlog) == (2, 2, 1)
    assert step.offered == step.throughput == pytest.approx(2 / 1.5)
    assert step_of(made, warmup=0.5, seconds=1.5, concurrency=1).offered is None


def test_what_never_ended_has_no_latency() -> None:
    made = taken([0.0, 0.1], [0.01, float("nan")], outcomes=[ANSWERED, "no answer in time"])
    made.stopped, made.gone = 0.2, True
    step = step_of(made, warmup=0.0, seconds=2.0, rate=10.0)
    assert step.samples.latency == (0.01, None)
    assert step.seconds == pytest.approx(0.2)
    assert not step.complete
    assert step.errors == {"no answer in time": 1}


def test_nothing_measured_is_no_figure() -> None:
    step = step_of(taken([], [], stopped=0.5), warmup=1.0, seconds=2.0, rate=10.0)
    assert step.latency is None
    assert (step.throughput, step.offered, step.seconds) == (0, None, 0)
    assert step_of(taken([], [], seconds=0.0), warmup=1.0, seconds=2.0).generator.busy == 0


@pytest.mark.parametrize(
    ("count", "known"),
    [(9, ()), (10, ("p90",)), (99, ("p90",)), (100, ("p90", "p99")),
     (999, ("p90", "p99")), (1000, ("p90", "p99", "p999"))],
)  # fmt: skip
def test_a_percentile_needs_a_sample_beyond_it(count: int, known: tuple[str, ...]) -> None:
    found = summary(np.linspace(0.001, 0.002, count))
    assert found is not None
    have = tuple(name for name in ("p90", "p99", "p999") if getattr(found, name) is not None)
    assert have == known
    assert found.p50 == pytest.approx(0.0015)


def hdr_histogram(latencies: list[float], interval: float) -> list[float]:
    """``recordSingleValueWithExpectedInterval`` of HdrHistogram, word for word."""
    found = []
    for value in latencies:
        found.append(value)
        missing = value - interval
        while missing >= interval:
            found.append(missing)
            missing -= interval
    return found


def test_the_correction_is_hdr_histograms() -> None:
    rng = np.random.default_rng(0)
    latencies = rng.exponential(2.0, 500) + 0.3
    wanted = hdr_histogram(latencies.tolist(), 1.7)
    np.testing.assert_allclose(np.sort(corrected(latencies, 1.7)), np.sort(wanted))
    exact = np.array([4.0])  # an interval that goes into it: 3, 2 and 1 are missing
    assert sorted(corrected(exact, 1.0)) == [1.0, 2.0, 3.0, 4.0]
    assert sorted(corrected(np.array([2.0]), 1.0)) == [1.0, 2.0]
    assert corrected(np.zeros(3), 0.0).tolist() == [0, 0, 0]  # by a clock of coarse steps


def test_a_stall_that_a_closed_loop_hides_is_in_its_corrected_figures() -> None:
    """A second's stall among 10 ms: one request in 200 saw it, of those due a third would have."""
    took = [0.01] * 100 + [1.0] + [0.01] * 99
    due = np.cumsum([0.0, *took[:-1]]).tolist()
    step = step_of(taken(due, took), warmup=0.0, seconds=sum(took), concurrency=1)
    assert step.latency is not None
    assert step.corrected is not None
    assert step.latency.p99 == pytest.approx(0.01)
    assert step.corrected.count == 200 + 99
    assert step.corrected.p99 == pytest.approx(0.97, abs=0.02)
    opened = step_of(taken(due, took), warmup=0.0, seconds=sum(took), rate=100.0)
    assert opened.corrected is None


@pytest.mark.parametrize(
    ("late", "further", "kind", "said"),
    [
        (0.0005, {}, {"rate": 10.0}, ""),
        (0.005, {}, {"rate": 10.0}, "left 5.0 ms late"),
        (0.0015, {}, {"rate": 10.0}, "left 1.5 ms late"),  # of 11.5 ms
        (0.005, {"held": 1}, {"rate": 10.0}, ""),  # the server's fault: too many under way
        (0.005, {}, {"concurrency": 1}, ""),
        (0.0, {"cpu_seconds": 9.5}, {"concurrency": 1}, "busy 95% of the time"),
        (0.0, {"cpu_seconds": 9.0}, {"concurrency": 1}, ""),
        (0.0, {"cpu_seconds": 9.5}, {"rate": 10.0}, ""),  # it was in time all the same
    ],
)
def test_the_generator_says_when_it_was_in_the_way(
    late: float, further: dict[str, object], kind: dict[str, float], said: str
) -> None:
    made = taken([at / 10 for at in range(20)], [0.01] * 20, late=late, **further)
    step = step_of(made, warmup=0.0, seconds=2.0, **kind)  # type: ignore[arg-type]  # fields by name
    assert said in step.generator.reason
    assert bool(step.generator.reason) == bool(said)


def test_how_late_requests_left_is_told() -> None:
    made = taken([0.1234567, 1.0, 2.0, 3.0], [0.0123456] * 4)
    made.sent = array("d", [0.1234567, 1.001, 2.002, 3.1])
    step = step_of(made, warmup=0.0, seconds=4.0, rate=1.0)
    found = step.generator
    assert (found.late_p50, found.late_max) == pytest.approx((0.0015, 0.1))
    assert found.late_p99 == pytest.approx(0.002 + 0.97 * 0.098)  # on the line between the last two
    assert step.samples.late == (0, 0.001, 0.002, 0.1)  # to a microsecond, as the next two
    assert (step.samples.due[0], step.samples.latency[0]) == (0.123457, 0.012346)
    none = step_of(taken([], []), warmup=0.0, seconds=4.0, rate=1.0).generator
    assert (none.late_p50, none.late_p99, none.late_max) == (0, 0, 0)


def test_late_is_in_the_way_where_nothing_was_answered() -> None:
    made = taken([at / 10 for at in range(20)], [0.0] * 20, late=0.005, outcomes=[LOST] * 20)
    assert step_of(made, warmup=0.0, seconds=2.0, rate=10.0).generator.reason


def test_late_is_not_in_the_way_where_answers_take_much_longer() -> None:
    made = taken([at / 10 for at in range(20)], [0.1] * 20, late=0.005)
    assert not step_of(made, warmup=0.0, seconds=2.0, rate=10.0).generator.reason

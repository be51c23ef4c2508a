"""The choice among candidates, on times and errors made up so that the answer is plain."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrn_deploy.latency.statistics import median_interval, noise, ratio_interval
from lrn_deploy.parity.metrics import Metrics
from lrn_deploy.tuning.decide import decide, explain, pareto, refusal
from lrn_deploy.tuning.demand import Demand
from lrn_deploy.tuning.schema import Candidate, Point

LATENCY = Demand(max_error=3e-2, min_agreement=None, batch=1)


def metrics(error: float, agreement: float | None = 1.0, mismatches: int = 0) -> Metrics:
    return Metrics(
        relative_l2=error,
        worst_relative_l2=error,
        worst_input=0,
        error_over_signal=error,
        max_abs=error,
        cosine=1.0,
        top1_agreement=agreement,
        top5_overlap=agreement,
        nonfinite=mismatches,
        nonfinite_mismatches=mismatches,
        inputs=100,
    )


def point(batch: int, ms: float, jitter: float = 0.0) -> Point:
    """Twenty rounds around ``ms`` milliseconds, the odd ones ``jitter`` slower."""
    rounds = tuple((ms / 1e3 * (1 + jitter * (turn % 2)),) for turn in range(20))
    return Point(
        batch=batch,
        median=median_interval(rounds),
        seconds=ms / 1e3,
        throughput=batch / ms * 1e3,
        noise=noise(rounds),
        samples=rounds,
    )


def candidate(
    name: str, error: float, *points: Point, within: bool = True, backend: str = "openvino:cpu"
) -> Candidate:
    return Candidate(
        artifact=name,
        sha256="",
        backend=backend,
        threads=2,
        precision="fp32",
        metrics=metrics(error),
        within=within,
        points=points,
        raced=True,
    )


def test_the_fastest_within_the_budget_is_chosen_and_the_rest_ranked() -> None:
    candidates = [
        candidate("model", 0, point(1, 12.0), backend="onnxruntime:cpu"),
        candidate("int4", 0.2, point(1, 2.0), within=False),
        candidate("int8", 0.01, point(1, 4.0)),
        candidate("bf16", 0.005, point(1, 9.0)),
    ]
    found = decide(candidates, LATENCY)
    assert found is not None
    assert [candidates[at].artifact for at in found.ranking] == ["int8", "bf16", "model"]
    said = explain(candidates, found, LATENCY)
    assert said.startswith("int8 on openvino:cpu, 2 threads takes 4 ms at batch 1, 3 times as fast")
    assert "next is bf16 on openvino:cpu, 2 threads, 2.25 times as long" in said
    assert said.count(". ") == 0, "one sentence"


def test_a_tie_goes_to_the_more_accurate() -> None:
    """1 % apart, and the spread of the slower one reaches below the faster."""
    coarse, fine = point(1, 4.0, jitter=0.05), point(1, 4.04, jitter=-0.05)
    candidates = [candidate("coarse", 0.03, coarse), candidate("fine", 0.01, fine)]
    found = decide(candidates, LATENCY)
    assert found is not None
    assert candidates[found.ranking[0]].artifact == "fine"
    assert "as fast within the measurement" in explain(candidates, found, LATENCY)


def test_surely_slower_is_no_tie_however_little() -> None:
    candidates = [candidate("fast", 0.03, point(1, 4.0)), candidate("slow", 0.01, point(1, 4.04))]
    found = decide(candidates, LATENCY)
    assert found is not None
    assert candidates[found.ranking[0]].artifact == "fast"


def test_ten_percent_is_no_tie_however_noisy() -> None:
    """The rounds' ratios reach below 1, and yet the medians are 10 % apart."""
    coarse, fine = point(1, 4.0, jitter=0.4), point(1, 4.4, jitter=-0.4)
    candidates = [candidate("coarse", 0.03, coarse), candidate("fine", 0.01, fine)]
    assert ratio_interval(fine.samples, coarse.samples).low < 1
    found = decide(candidates, LATENCY)
    assert found is not None
    assert candidates[found.ranking[0]].artifact == "coarse"


def test_items_of_different_batches_tie_by_their_own_time() -> None:
    """1.00 and 1.01 ms an item; the runs themselves, 4 and 8.08 ms, were never neighbours."""
    demand = Demand(max_error=None, min_agreement=None, objective="throughput")
    candidates = [
        candidate("coarse", 0.03, point(4, 4.0)),
        candidate("fine", 0.01, point(8, 8.08)),
    ]
    found = decide(candidates, demand)
    assert found is not None
    assert (candidates[found.ranking[0]].artifact, found.batch) == ("fine", 8)


def test_a_run_of_exactly_the_longest_latency_fits() -> None:
    demand = Demand(max_error=None, min_agreement=None, objective="throughput", max_latency=0.018)
    found = decide([candidate("a", 0, point(1, 4.0), point(8, 18.0))], demand)
    assert found is not None
    assert found.batch == 8


def test_of_equal_times_only_the_more_accurate_is_on_the_front() -> None:
    candidates = [candidate("coarse", 0.03, point(1, 4.0)), candidate("fine", 0.01, point(1, 4.0))]
    assert pareto(candidates, LATENCY) == {1}


def test_throughput_takes_the_best_batch_within_the_latency() -> None:
    demand = Demand(max_error=None, min_agreement=None, objective="throughput", max_latency=0.02)
    candidates = [
        candidate("a", 0, point(1, 4.0), point(8, 18.0), point(32, 60.0)),
        candidate("b", 0, point(1, 3.0), point(8, 24.0), point(32, 50.0)),
    ]
    found = decide(candidates, demand)
    assert found is not None
    assert (candidates[found.ranking[0]].artifact, found.batch) == ("a", 8)
    free = demand.model_copy(update={"max_latency": None})
    found = decide(candidates, free)
    assert found is not None
    assert (candidates[found.ranking[0]].artifact, found.batch) == ("b", 32)


def test_who_was_timed_alone_is_not_chosen() -> None:
    alone = candidate("alone", 0, point(1, 1.0)).model_copy(update={"raced": False})
    candidates = [alone, candidate("raced", 0, point(1, 4.0))]
    found = decide(candidates, LATENCY)
    assert found is not None
    assert found.ranking == (1,)


def test_nothing_within_the_budget_is_said_with_the_nearest() -> None:
    out = candidate("bf16", 0.005, point(1, 9.0), within=False).model_copy(
        update={"reason": "relative L2 error 0.005, over 2e-06"}
    )
    assert decide([out], LATENCY) is None
    assert "bf16 on openvino:cpu, 2 threads: relative L2 error" in explain([out], None, LATENCY)


@pytest.mark.parametrize(
    ("found", "demand", "reason"),
    [
        (metrics(0.02), Demand(max_error=0.03, min_agreement=None), ""),
        (metrics(0.04), Demand(max_error=0.03, min_agreement=None), "over 0.03"),
        (metrics(math.nan), Demand(max_error=0.03, min_agreement=None), "over 0.03"),
        (metrics(0.0, 0.985), Demand(max_error=None, min_agreement=0.99), "98.5%, under 99.0%"),
        (metrics(0.0, 0.99), Demand(max_error=None, min_agreement=0.99), ""),
        (metrics(0.0, None), Demand(max_error=None, min_agreement=0.99), "no classes"),
        (metrics(0.0, mismatches=2), Demand(max_error=None, min_agreement=None), "2 values"),
    ],
)
def test_the_demand_binds_on_what_it_names(found: Metrics, demand: Demand, reason: str) -> None:
    assert (reason in refusal(found, demand)) if reason else refusal(found, demand) == ""


POINTS = {ms: point(1, ms) for ms in (1.0, 2.0, 3.0, 4.0)}
ERRORS = (1e-7, 1e-3, 0.02, 0.5)


@given(
    st.lists(  # of few values, so that some are equal
        st.tuples(st.sampled_from(sorted(POINTS)), st.sampled_from(ERRORS)),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_the_front_is_what_no_other_candidate_beats(places: list[tuple[float, float]]) -> None:
    candidates = [candidate(str(at), error, POINTS[ms]) for at, (ms, error) in enumerate(places)]
    kept = pareto(candidates, LATENCY)
    for at, (ms, error) in enumerate(places):
        beaten = any((a < ms and b <= error) or (a <= ms and b < error) for a, b in places)
        assert (at in kept) is not beaten

"""Verdicts of the runtime comparison on samples whose answer is known."""

from __future__ import annotations

import pytest

from benchmarks.runtimes.candidates import Side
from benchmarks.runtimes.verdicts import (
    Measured,
    allowed,
    fastest,
    judge,
    judge_class,
    within,
)
from benchmarks.runtimes.verdicts import aims as aims_of
from benchmarks.runtimes.verdicts import losses as losses_of
from lrn_deploy.latency.statistics import Interval

ROUNDS = 10


def measured(
    name: str, seconds: float, error: float = 1e-7, *, side: Side = "peer", agreement: float = 1.0
) -> Measured:
    """A candidate with a spread of 2 % around its median."""
    rounds = [[seconds * (0.99 + 0.02 * at / (ROUNDS - 1))] for at in range(ROUNDS)]
    return Measured(name, side, "a runtime", error, agreement, rounds)


@pytest.mark.parametrize(
    ("low", "estimate", "high", "verdict"),
    [
        (1.2, 1.3, 1.4, "ahead"),
        (1.01, 1.04, 1.06, "level"),  # within 5 %
        (0.9, 1.2, 1.5, "level"),  # the interval includes 1
        (0.955, 0.96, 0.97, "level"),
        (0.8, 0.9, 0.95, "behind"),
        (1.05, 1.06, 1.07, "ahead"),
    ],
)
def test_level_is_within_5_percent_or_an_interval_that_includes_1(
    low: float, estimate: float, high: float, verdict: str
) -> None:
    assert judge(Interval(low, estimate, high)) == verdict


def test_the_classes_allow_what_the_documentation_says() -> None:
    assert allowed("alexnet", "fp32") == {"max_error": 1e-5}
    assert allowed("googlenet", "reduced") == {"max_error": 3e-2}
    assert allowed("digits", "fp32") == {"max_error": 1e-5}
    assert allowed("digits", "reduced") == {"min_agreement": 0.99}


def test_agreement_and_error_both_bind_where_they_are_asked_for() -> None:
    coarse = measured("coarse", 1.0, 0.5, agreement=0.995)
    assert within(coarse, {"min_agreement": 0.99})
    assert not within(coarse, {"min_agreement": 0.999})
    assert not within(coarse, {"max_error": 3e-2})
    assert not within(measured("broken", 1.0, float("nan")), {"max_error": 3e-2})


def test_the_fastest_is_the_fastest_within_the_error() -> None:
    wrong, slow, right = measured("w", 1.0, 0.1), measured("s", 3.0), measured("r", 2.0)
    assert fastest([wrong, slow, right], {"max_error": 2e-6}) == right
    assert fastest([wrong], {"max_error": 2e-6}) is None


def test_a_peer_over_the_error_is_listed_but_beats_nobody() -> None:
    own = measured("own", 10.0, side="ours")
    result = judge_class(
        [own, measured("wrong", 1.0, 0.01), measured("peer", 20.0)], "own", "alexnet", "fp32"
    )
    by_peer = {row["peer"]: row for row in result["verdicts"]}
    assert by_peer["wrong"]["verdict"] == "over the error"
    assert by_peer["wrong"]["speedup"]["estimate"] == pytest.approx(0.1)
    assert by_peer["peer"]["verdict"] == "ahead"
    assert by_peer["peer"]["speedup"]["estimate"] == pytest.approx(2.0)
    assert result["best_peer"] == "peer"
    assert (result["winner"], result["winner_side"]) == ("own", "ours")
    assert result["is_within_5_percent_of_all"]


def test_a_loss_is_told_with_who_won() -> None:
    own = Measured("own", "ours", "ONNX Runtime", 0.0, 1.0, [[2.0]] * ROUNDS)
    peer = Measured("peer", "peer", "OpenVINO", 0.0, 1.0, [[1.0]] * ROUNDS)
    result = judge_class([own, peer], "own", "alexnet", "reduced")
    assert result["winner_runtime"] == "OpenVINO"
    assert not result["is_within_5_percent_of_all"]
    networks = [{"network": "alexnet", "batches": [{"batch": 8, "classes": [result]}]}]
    (loss,) = losses_of(networks)
    assert (loss["batch"], loss["ours"], loss["peer"]) == (8, "own", "peer")
    assert loss["speedup"]["estimate"] == pytest.approx(0.5)


def test_within_5_percent_holds_by_both_ratios() -> None:
    # The machine is slow in half of the rounds and changes within one: 1 in every other round.
    machine = [1.0] * 5 + [1.4] * 5
    own = Measured("own", "ours", "a runtime", 0.0, 1.0, [[1.4], *([at] for at in machine)])
    peer = Measured("peer", "peer", "a runtime", 0.0, 1.0, [[1.0], *([at] for at in machine)])
    (row,) = judge_class([own, peer], "own", "alexnet", "fp32")["verdicts"]
    assert row["by_round"]["estimate"] == row["by_round"]["low"] == 1.0
    assert row["speedup"]["estimate"] == pytest.approx(1 / 1.4)
    assert not row["is_within_5_percent"]


def test_without_a_choice_nothing_is_judged() -> None:
    result = judge_class([measured("peer", 1.0)], None, "alexnet", "fp32")
    assert result == {"class": "fp32", "allowed": {"max_error": 1e-5}, "ours": None}


def aims_for(own: float, dynamo: float, openvino: float) -> dict[str, tuple[float, bool]]:
    """Estimate and outcome of the aims in fp32 at batch 1, by peer."""
    candidates = [
        measured("own", own, side="ours"),
        measured("ONNX Runtime, dynamo export", dynamo),
        measured("OpenVINO, fp32", openvino),
    ]
    result = judge_class(candidates, "own", "alexnet", "fp32")
    networks = [{"network": "alexnet", "batches": [{"batch": 1, "classes": [result]}]}]
    rows = aims_of(networks)
    return {
        f"{row['peer']}, {row['aim']}": (row["speedup"]["estimate"], row["met"]) for row in rows
    }


def test_an_aim_is_met_by_its_ratio_and_the_best_peer_is_the_fastest() -> None:
    found = aims_for(own=10.0, dynamo=14.0, openvino=10.2)
    assert found["ONNX Runtime, dynamo export, 1.3"] == (pytest.approx(1.4), True)
    assert found["OpenVINO, fp32, level or ahead"] == (pytest.approx(1.02), True)


def test_an_aim_is_missed_when_it_is() -> None:
    found = aims_for(own=10.0, dynamo=12.0, openvino=8.0)
    assert found["ONNX Runtime, dynamo export, 1.3"] == (pytest.approx(1.2), False)
    assert found["OpenVINO, fp32, level or ahead"] == (pytest.approx(0.8), False)

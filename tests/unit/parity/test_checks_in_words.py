"""What a check is called, which error of it counts, and how bad it is."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.metrics import compare
from lrn_deploy.parity.schema import Check

METRICS = compare([[1.0, 2.1], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]])


def check(**given: Any) -> Check:
    usual = {"kind": "outputs", "artifact": "model", "backend": "onnxruntime:cuda:1"}
    return Check(**{**usual, "verdict": "pass", **given})


@pytest.mark.parametrize(
    ("given", "name", "group"),
    [
        ({"inputs": "active-x316"}, "outputs on active-x316", "active-x316"),
        ({}, "outputs", "outputs"),
        ({"kind": "probe", "subject": "net.2", "inputs": "1e-3"}, "LRN alone: net.2", "LRN alone"),
        ({"kind": "layer", "subject": "net.3", "inputs": "random"}, "layer net.3 on random",
         "layers"),
        ({"kind": "reference", "artifact": ""}, "PyTorch against the stored samples", "itself"),
        ({"kind": "reference", "inputs": "random"},
         "PyTorch against the stored samples on random", "itself"),
    ],
)  # fmt: skip
def test_names(given: dict[str, Any], name: str, group: str) -> None:
    one = check(**given)
    assert (one.name, one.group) == (name, group)


def test_where_it_runs() -> None:
    placement = check().placement
    assert (placement.artifact, placement.backend, placement.device) == (
        "model", "onnxruntime", "cuda:1",
    )  # fmt: skip


def test_which_error_is_held_against_the_budget() -> None:
    together = check(metrics=METRICS, budget=Budget(relative_l2=1.0, error_over_signal=5.0))
    assert together.error == METRICS.relative_l2
    assert together.signal_error == METRICS.error_over_signal
    alone = check(metrics=METRICS, budget=Budget(relative_l2=1.0, each_input=True))
    assert alone.error == METRICS.worst_relative_l2 != METRICS.relative_l2
    assert alone.signal_error is None
    assert check(metrics=METRICS).error == METRICS.relative_l2
    assert check().error is None
    assert check(budget=Budget(relative_l2=1.0, error_over_signal=5.0)).signal_error is None


@pytest.mark.parametrize(
    ("verdict", "severity"),
    [("fail", math.inf), ("skipped", -1.0), ("unjudged", -1.0), ("pass", 0.0), ("limited", 0.0)],
)
def test_how_bad_a_check_without_numbers_is(verdict: str, severity: float) -> None:
    assert check(verdict=verdict).severity == severity
    assert check(verdict=verdict, metrics=METRICS).severity == severity
    assert check(verdict=verdict, budget=Budget(relative_l2=1.0)).severity == severity

"""Which of several checks is told: the worst, and of each artifact on each backend."""

from __future__ import annotations

import math

from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.metrics import Metrics, compare
from lrn_deploy.parity.schema import Check, Verdict, caught_by, grouped, worst

EXACT = compare([[1.0, 2.0], [2.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]])


def metrics(relative_l2: float) -> Metrics:
    return EXACT.model_copy(update={"relative_l2": relative_l2})


def check(
    used: float, verdict: Verdict = "pass", backend: str = "onnxruntime", inputs: str = "random"
) -> Check:
    """A check that used this part of its budget."""
    return Check(
        kind="outputs",
        artifact="model",
        backend=backend,
        inputs=inputs,
        metrics=metrics(used * 1e-5),
        budget=Budget(relative_l2=1e-5),
        verdict=verdict,
    )


def test_the_worst_used_most_of_its_budget() -> None:
    assert worst([check(0.1), check(0.9), check(0.5)]) == check(0.9)


def test_a_failed_check_is_worse_than_one_that_a_kernels_limit_excuses() -> None:
    failed, excused = check(2.0, "fail"), check(50.0, "limited")
    assert worst([failed, excused]) == worst([excused, failed]) == failed


def test_an_error_that_is_no_number_is_worse_than_any() -> None:
    broken, large = check(math.nan, "fail"), check(1e9, "fail")
    assert worst([broken, large]) is broken
    assert worst([large, broken]) is broken


def test_what_did_not_run_is_worse_than_all_if_it_failed_and_better_if_it_was_skipped() -> None:
    def without_metrics(verdict: Verdict) -> Check:
        return Check(kind="outputs", artifact="model", backend="onnxruntime", verdict=verdict)

    assert worst([check(1e9, "fail"), without_metrics("fail")]).metrics is None
    assert worst([without_metrics("skipped"), check(0.0)]).metrics is not None


def test_backends_and_sets_of_inputs_are_grouped_apart() -> None:
    first, other, again = check(0.1), check(0.2, backend="openvino"), check(0.3)
    active = check(0.4, inputs="active-x316")
    assert grouped([first, other, again, active]) == [[first, again], [other], [active]]


def test_only_what_failed_caught_a_fault_and_is_named_once() -> None:
    checks = [check(2.0, "fail"), check(0.1), check(3.0, "fail"), check(9.0, "limited", inputs="x")]
    assert caught_by(checks) == ("outputs on random",)

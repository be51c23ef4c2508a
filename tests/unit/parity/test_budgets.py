from __future__ import annotations

import math

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.budgets import TABLE, Budgets, Regime
from lrn_deploy.parity.metrics import Metrics, compare
from lrn_deploy.precision import PRECISIONS


def metrics(relative: float, signal: float | None, worst: float | None = None) -> Metrics:
    return compare([[1.0], [2.0]], [[1.0], [2.0]]).model_copy(
        update={
            "relative_l2": relative,
            "worst_relative_l2": relative if worst is None else worst,
            "error_over_signal": signal,
        }
    )


def test_every_precision_has_its_row() -> None:
    assert TABLE.keys() == PRECISIONS.keys()


def test_the_promised_budgets() -> None:
    promised = {"fp32": (1e-5, 5e-5), "fp16": (5e-3, 2.5e-2), "int8": (3e-2, 1.5e-1)}
    for precision, (relative, signal) in promised.items():
        budget = Budgets().budget(precision, "ordinary")
        assert budget.relative_l2 == relative
        assert budget.error_over_signal == pytest.approx(signal)


@pytest.mark.parametrize("regime", ["ordinary", "active", "extreme", "probe"])
def test_every_fp32_budget_stays_far_below_what_faults_show(regime: Regime) -> None:
    assert TABLE["fp32"][regime] <= 1e-3 * 0.1


@pytest.mark.parametrize(
    ("relative", "signal", "holds"),
    [
        (2e-6, 1e-5, True),
        (2.1e-6, 1e-6, False),
        (1e-6, 1.1e-5, False),
        (1e-6, None, True),
        (math.inf, 0.0, False),
        (math.nan, 0.0, False),
        (0.0, math.nan, False),
    ],
)
def test_both_figures_bind(relative: float, signal: float | None, holds: bool) -> None:
    budget = Budget(relative_l2=2e-6, error_over_signal=1e-5)
    assert budget.holds(metrics(relative, signal)) is holds


def test_extremes_bind_each_input_alone() -> None:
    budget = Budgets().budget("fp32", "extreme")
    assert budget.error_over_signal is None
    assert not budget.holds(metrics(1e-9, None, worst=1e-2))
    assert budget.holds(metrics(1e-9, 1.0, worst=1e-9))


def test_options_replace_the_table() -> None:
    budgets = Budgets(max_error=1e-3, max_active_error=2e-3, max_probe_error=3e-3)
    found = [budgets.budget("fp32", r) for r in ("ordinary", "extreme", "active", "probe")]  # type: ignore[arg-type]
    assert [item.relative_l2 for item in found] == [1e-3, 1e-3, 2e-3, 3e-3]
    assert found[0].error_over_signal == pytest.approx(5e-3)


def test_an_unknown_precision_names_the_known_ones() -> None:
    with pytest.raises(BadInputError, match=r"'fp4'.*fp32.*int8"):
        Budgets().budget("fp4", "ordinary")
    assert Budgets(max_error=0.1).budget("fp4", "ordinary").relative_l2 == 0.1


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_that_is_no_bound_is_refused(value: float) -> None:
    with pytest.raises(BadInputError, match="positive number"):
        Budgets(max_error=value)

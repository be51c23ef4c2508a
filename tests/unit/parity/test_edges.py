"""The edges of what a network meets, number by number, and the budgets that hold there."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.bundle import Preprocessing, TensorSpec
from lrn_deploy.parity import inputs
from lrn_deploy.parity.activity import SCALES, Scale, active_warning, ordinary_warning
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.budgets import TABLE, Budgets, Regime
from lrn_deploy.parity.inputs import InputSet
from lrn_deploy.parity.metrics import NEGLIGIBLE, compare, top_overlap


def floats(*shape: int, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name="x", dtype=dtype, shape=("batch", *shape))


def test_every_edge_of_floats_in_order() -> None:
    x = inputs.extreme_set([floats(2, 2)], None).feeds["x"]
    assert x.shape == (7, 2, 2)
    assert [np.unique(row).tolist() for row in x[:3]] == [[0], [1], [-1]]
    assert x[3].tolist() == [[1, -1], [-1, 1]]
    np.testing.assert_allclose(x[5], x[4] * 1e-23, rtol=1e-6)
    assert 100 < np.abs(x[4]).mean() < 10_000
    assert np.unique(x[6]).tolist() == [np.float32(1e-40)]  # denormal, only in float32
    assert len(inputs.extreme_set([floats(2, dtype="float16")], None).feeds["x"]) == 6


def test_every_edge_of_pictures_in_order() -> None:
    preprocessing = Preprocessing(
        resize=None, crop=(2, 3), scale=1, mean=(0, 0, 0), std=(1, 1, 1), in_graph=False
    )
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", 3, 2, 3))
    made = inputs.extreme_set([spec], preprocessing)
    x = made.feeds["x"]
    assert made.rows == 5 + 7
    assert [np.unique(row).tolist() for row in x[:2]] == [[0], [255]]
    assert [np.unique(channel).tolist() for channel in x[2]] == [[255], [0], [0]]
    for channel in x[3]:
        assert channel.tolist() == [[0, 255, 0], [255, 0, 255]]
    for channel in x[4]:
        assert channel.tolist() == [[0, 0, 0], [0, 255, 0]]


def test_random_floats_are_faint_and_strong_around_means_of_their_own() -> None:
    x = inputs.random_set([floats(4000)], None, 200).feeds["x"].astype(np.float64)
    spread = x.std(axis=1)
    assert 10**-0.55 < spread.min() < 10**-0.45  # 10 to the power of -1/2 to 1/2
    assert 10**0.45 < spread.max() < 10**0.55
    centre = x.mean(axis=1) / spread  # from -1 to 1
    assert -1.1 < centre.min() < -0.9
    assert 0.9 < centre.max() < 1.1
    other = inputs.random_set([floats(4000)], None, 200, seed=1).feeds["x"]
    assert not np.array_equal(x, other)


def test_random_pictures_of_a_small_and_oblong_size() -> None:
    preprocessing = Preprocessing(resize=None, crop=(3, 9), mode="L", mean=(0,), std=(1,), scale=1)
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", 1, 3, 9))
    x = inputs.random_set([spec], preprocessing, 200).feeds["x"]
    assert x.shape == (200, 1, 3, 9)
    assert (x.min(), x.max()) == (0, 255)
    assert len(np.unique(x)) == 256


@pytest.mark.parametrize(
    ("factor", "name"),
    [(1.0, "active-x1"), (9.99, "active-x10"), (9.94, "active-x9.9"), (10.0, "active-x10"),
     (10.4, "active-x10"), (31.6, "active-x32")],
)  # fmt: skip
def test_factors_in_names(factor: float, name: str) -> None:
    base = InputSet("random", {"x": np.ones((2, 3), np.float32)}, "2 ones")
    made = inputs.scaled_set(base, factor)
    assert made.name == name
    assert made.rows == 2
    assert made.detail == f"2 ones, times {name.removeprefix('active-x')} so that LRN acts"


def test_the_factors_that_are_tried() -> None:
    assert len(SCALES) == 11
    assert (SCALES[0], SCALES[2], SCALES[10]) == (1.0, 10.0, 1e5)
    assert SCALES[1] == pytest.approx(10**0.5)


def test_warnings_begin_below_their_limits() -> None:
    assert active_warning([Scale("a", 1.0, 0.1)]) == ""
    assert "a (activity 9.9e-02)" in active_warning([Scale("a", 1.0, 0.099)])
    assert ordinary_warning({"random": {"a": 0.01}}, ["random"]) == ""
    assert "a (activity 9.9e-03)" in ordinary_warning({"random": {"a": 0.0099}}, ["random"])
    only_once = {"images": {"a": 0.001}, "random": {"b": 0.5, "a": 0.5}}
    assert ordinary_warning(only_once, ["images", "random"]) == ""


R: tuple[Regime, ...] = ("ordinary", "synthetic", "active", "extreme", "probe")


@pytest.mark.parametrize(
    ("precision", "row"),
    [
        ("fp32", (1e-5, 1e-5, 2e-5, 2e-5, 1e-6)),
        ("tf32", (2e-3, 2e-3, 1e-2, 1e-2, 1e-6)),
        ("fp16", (5e-3, 5e-3, 2e-2, None, 2e-3)),
        ("bf16", (2e-2, 2e-2, 5e-2, 5e-2, 1e-2)),
        ("int8", (3e-2, None, None, None, 2e-3)),
        ("int8-bf16", (3e-2, None, None, None, 1e-2)),
        ("w8", (3e-2, 3e-2, 5e-2, 5e-2, 2e-3)),
        ("w4", (1e-1, None, None, None, 2e-3)),
        ("int8-w8", (3e-2, None, None, None, 2e-3)),
        ("int8-w4", (1e-1, None, None, None, 2e-3)),
    ],
)
def test_the_table_of_budgets(precision: str, row: tuple[float | None, ...]) -> None:
    """A promise to users: what grows here lets more errors pass."""
    assert tuple(TABLE[precision][regime] for regime in R) == row


def test_a_budget_is_kept_to_its_last_digit_and_signal_has_five_times_as_much() -> None:
    exact = compare([[1.0], [2.0]], [[1.0], [2.0]])
    budget = Budgets().budget("fp32", "ordinary")
    assert budget is not None
    assert budget.error_over_signal == pytest.approx(5e-5)
    assert not budget.each_input
    half = exact.model_copy(update={"relative_l2": 5e-6, "error_over_signal": 4e-5})
    assert budget.used(half) == pytest.approx(0.8)
    assert Budget(relative_l2=1.0).holds(exact.model_copy(update={"relative_l2": 1.0}))
    user = Budgets(max_active_error=1e-3)
    assert (active := user.budget("int8", "active")) is None, (
        active
    )  # not judged, whatever is asked
    assert user.budget("fp32", "ordinary") == budget


def test_what_is_negligible_grows_with_the_number_of_values() -> None:
    # The root mean square counts: 0.9e-35 in each of four, 1.1e-35 in each of four.
    assert NEGLIGIBLE == 1e-35
    zeros = np.zeros((1, 4))
    assert compare(zeros + 0.9e-35, zeros).relative_l2 == 0
    assert compare(zeros + 1.1e-35, zeros).relative_l2 == float("inf")


def test_overlap_of_fewer_classes_than_asked_for() -> None:
    y, r = np.array([[3.0, 2.0, 1.0]]), np.array([[1.0, 2.0, 3.0]])
    assert top_overlap(y, r, 2) == 0.5
    assert top_overlap(y, r, 3) == top_overlap(y, r, 9) == 1.0
    metrics = compare([[1.0, np.inf], [np.nan, 3.0]], [[1.0, np.inf], [2.0, 3.5]])
    assert (metrics.nonfinite, metrics.nonfinite_mismatches, metrics.inputs) == (2, 1, 2)
    assert metrics.max_abs == 0.5


def test_the_large_values_are_a_thousand_times_normal_noise() -> None:
    x = inputs.extreme_set([floats(60, 60)], None).feeds["x"]
    assert np.std(x[4]) == pytest.approx(1e3, rel=0.05)


def test_a_cosine_is_none_beyond_1_however_it_is_rounded() -> None:
    rows = np.random.default_rng(0).standard_normal((60, 1, 5))
    cosines = [(compare(x, x).cosine, compare(-x, x).cosine) for x in rows]
    assert {(max(own, 1.0), min(other, -1.0)) for own, other in cosines} == {(1.0, -1.0)}
    np.testing.assert_allclose(cosines, [(1.0, -1.0)] * 60)
    assert compare([[0.0, 2.0]], [[3.0, 0.0]]).cosine == 0.0

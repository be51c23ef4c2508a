from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lrn_deploy.errors import BadInputError
from lrn_deploy.parity.metrics import Metrics, compare

NAN, INF = math.nan, math.inf

FINITE = arrays.arrays(
    np.float64,
    arrays.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements=st.floats(-1e6, 1e6, allow_subnormal=False),
)


def test_hand_worked_numbers() -> None:
    # r has norm 5; its mean over the inputs is (1.5, 2), so its signal is (±1.5, ±2), norm
    # sqrt(12.5). The error is (0, 0.5) in the second input.
    metrics = compare([[0.0, 0.0], [3.0, 4.5]], [[0.0, 0.0], [3.0, 4.0]])
    assert metrics.relative_l2 == pytest.approx(0.1)
    assert metrics.worst_relative_l2 == pytest.approx(0.1)
    assert metrics.worst_input == 1
    assert metrics.error_over_signal == pytest.approx(0.5 / math.sqrt(12.5))
    assert metrics.max_abs == pytest.approx(0.5)
    assert metrics.cosine == pytest.approx((9 + 18) / (5 * math.hypot(3, 4.5)))
    assert metrics.inputs == 2


def test_an_error_that_hides_behind_an_offset_shows_over_the_signal() -> None:
    r = np.array([[1000.0, 1.0], [1000.0, -1.0]])
    metrics = compare(r + np.array([[0.0, 0.1], [0.0, -0.1]]), r)
    assert metrics.relative_l2 == pytest.approx(1e-4, rel=1e-3)
    assert metrics.error_over_signal == pytest.approx(0.1)


def test_the_worst_input_is_judged_against_itself() -> None:
    # The first input is a thousand times larger and exact; the second is off by 100 %.
    metrics = compare([[1000.0, 0.0], [2.0, 0.0]], [[1000.0, 0.0], [1.0, 0.0]])
    assert metrics.relative_l2 == pytest.approx(1e-3, rel=1e-3)
    assert metrics.worst_relative_l2 == pytest.approx(1.0)
    assert metrics.worst_input == 1


def test_a_single_input_has_no_signal() -> None:
    assert compare([[1.0, 2.0]], [[1.0, 2.0]]).error_over_signal is None


def test_a_constant_network_with_any_error_is_all_error() -> None:
    metrics = compare([[1.0, 2.1], [1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]])
    assert metrics.error_over_signal == INF


def test_all_zero_reference() -> None:
    zeros = np.zeros((2, 3))
    assert compare(zeros, zeros).relative_l2 == 0
    assert compare(zeros, zeros).cosine == 1
    assert compare(zeros + 1, zeros).relative_l2 == INF
    assert compare(zeros + 1, zeros).cosine == 0


def test_results_too_small_for_digits_count_as_zero() -> None:
    # float32 denormals near 1e-41 hold two digits: rounding there is no fault.
    assert compare([[1.2e-41, 0.0]], [[1.1e-41, 0.0]]).relative_l2 == 0


def test_equal_infinities_and_nans_are_no_failure() -> None:
    y = [[NAN, INF, -INF, 1.0]]
    metrics = compare(y, y)
    assert (metrics.relative_l2, metrics.nonfinite, metrics.nonfinite_mismatches) == (0, 3, 0)


@pytest.mark.parametrize(
    ("y", "r"), [(NAN, 1.0), (1.0, NAN), (INF, 1.0), (INF, -INF), (NAN, INF), (1.0, INF)]
)
def test_a_nonfinite_value_on_one_side_is_infinitely_wrong(y: float, r: float) -> None:
    metrics = compare([[y, 1.0], [2.0, 3.0]], [[r, 1.0], [2.0, 3.0]])
    assert metrics.nonfinite_mismatches == 1
    assert metrics.relative_l2 == metrics.worst_relative_l2 == metrics.error_over_signal == INF


def test_agreement_of_the_largest_outputs() -> None:
    r = [[6.0, 5, 4, 3, 2, 1], [1.0, 2, 3, 4, 5, 6]]
    y = [[6.0, 5, 4, 3, 1, 2], [1.0, 2, 3, 4, 6, 5]]  # one swap in 5th place, one in 1st
    metrics = compare(y, r)
    assert metrics.top1_agreement == 0.5
    assert metrics.top5_overlap == pytest.approx((4 / 5 + 5 / 5) / 2)


def test_fewer_than_five_classes_overlap_fully() -> None:
    assert compare([[1.0, 2.0]], [[2.0, 1.0]]).top5_overlap == 1
    assert compare([[1.0, 2.0]], [[2.0, 1.0]]).top1_agreement == 0


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 3, 4)])
def test_only_classes_have_a_top(shape: tuple[int, ...]) -> None:
    assert compare(np.ones(shape), np.ones(shape)).top1_agreement is None


@pytest.mark.parametrize(
    ("y", "r"), [(np.ones((2, 3)), np.ones((3, 2))), (np.ones(0), np.ones(0)), (1.0, 1.0)]
)
def test_what_cannot_be_compared_is_refused(y: object, r: object) -> None:
    with pytest.raises(BadInputError):
        compare(y, r)  # type: ignore[arg-type]


def test_is_computed_in_float64() -> None:
    # 1 + 2^-24 is 1 in float32; squares of 1e30 overflow it.
    y = np.full((1, 2), 1e30, np.float32)
    assert compare(y * np.float32(2), y).relative_l2 == pytest.approx(1.0)
    half = np.array([[60000.0, 1.0]], np.float16)
    assert compare(half, half.astype(np.float64) * 2).relative_l2 == pytest.approx(0.5)


@given(FINITE)
def test_equal_arrays_have_no_error(r: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    metrics = compare(r, r)
    assert metrics.relative_l2 == metrics.worst_relative_l2 == metrics.max_abs == 0
    assert metrics.cosine == pytest.approx(1)


@given(FINITE, st.floats(1e-6, 10), st.floats(1e-3, 1e3))
def test_relative_errors_do_not_depend_on_scale(
    r: np.ndarray[tuple[int, ...], np.dtype[np.float64]], error: float, scale: float
) -> None:
    y = r * (1 + error)
    metrics, scaled = compare(y, r), compare(y * scale, r * scale)
    if np.any(np.abs(r) > 1e-20):
        assert metrics.relative_l2 == pytest.approx(error, rel=1e-6)
        assert scaled.relative_l2 == pytest.approx(metrics.relative_l2, rel=1e-6)


@given(FINITE, st.integers(0, 2**32 - 1))
def test_order_of_the_worst_case(
    r: np.ndarray[tuple[int, ...], np.dtype[np.float64]], seed: int
) -> None:
    y = r + np.random.default_rng(seed).standard_normal(r.shape)
    metrics = compare(y, r)
    assert metrics.worst_relative_l2 >= metrics.relative_l2 * (1 - 1e-9)
    if metrics.error_over_signal is not None:
        # The signal never exceeds the reference itself.
        assert metrics.error_over_signal >= metrics.relative_l2 * (1 - 1e-9)
    assert -1 <= metrics.cosine <= 1


def test_infinities_survive_json() -> None:
    metrics = compare([[NAN, 1.0]], [[1.0, 1.0]])
    assert "Infinity" in metrics.model_dump_json()
    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics


def test_small_results_that_have_digits_are_compared() -> None:
    # As small as an LRN with k = 0 leaves large inputs, and far above float32's denormals.
    assert compare([[2e-25, 0.0]], [[1e-25, 0.0]]).relative_l2 == pytest.approx(1.0)


def test_of_equal_values_the_first_wins() -> None:
    """Sorting algorithms that are quick leave equal values in any order."""
    r = np.random.default_rng(1).integers(0, 3, (1, 1000)).astype(np.float64)
    first, *_, fifth, sixth = np.flatnonzero(r[0] == 2)[:6]
    y = r.copy()
    y[0, sixth:] -= 0.5
    assert compare(y, r).top5_overlap == 1
    y[0, fifth], y[0, sixth] = 1.0, 2.0  # the sixth is among the first five now
    assert compare(y, r).top5_overlap == 0.8
    assert compare(y, r).top1_agreement == 1
    y[0, first] = 1.0
    assert compare(y, r).top1_agreement == 0


def test_numbers_whose_squares_leave_float64_are_compared() -> None:
    metrics = compare([[3e200, 4e200]], [[3e200, 0.0]])
    assert metrics.relative_l2 == pytest.approx(4 / 3)
    assert metrics.cosine == pytest.approx(3 / 5)

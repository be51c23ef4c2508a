"""The curve of a denominator is fitted to the digits of fp32, and to no other curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lrn_deploy.passes.lrn.probing.curve import (
    Curve,
    decimal,
    fitted_curve,
    in_decimals,
    rough_curve,
)

Floats = NDArray[np.float64]
DECADES = 10.0 ** np.arange(-6, 11, 2)


def in_fp32(curve: Curve, t: Floats) -> Floats:
    """What a graph in fp32 makes of it."""
    t32 = t.astype(np.float32)
    base = np.float32(curve.k) + np.float32(curve.factor) * t32 * t32
    with np.errstate(over="ignore"):
        return (base ** np.float32(curve.beta)).astype(np.float64)


@settings(max_examples=100, deadline=None)
@given(
    k=st.floats(0.01, 100),
    factor=st.floats(1e-8, 10),
    beta=st.floats(0.1, 2),
    size=st.integers(1, 15),
)
def test_a_curve_is_found_again(k: float, factor: float, beta: float, size: int) -> None:
    true = Curve(k, factor, beta)
    rough = rough_curve(DECADES, in_fp32(true, DECADES))
    assert rough is not None
    t = (rough.knee * 10.0 ** np.linspace(-3, 2, 26)).astype(np.float32).astype(np.float64)
    measured = in_fp32(true, t)
    fitted = fitted_curve(t, measured, rough)
    assert fitted is not None
    curve, alpha = in_decimals(fitted, size, t, measured)
    slack = 2e-6 / min(beta, 1)
    np.testing.assert_allclose(curve.beta, beta, rtol=2e-6)
    np.testing.assert_allclose((curve.k, alpha), (k, factor * size), rtol=slack)


@pytest.mark.parametrize(
    ("k", "alpha", "beta", "size"), [(2, 1e-4, 0.75, 5), (1, 1, 0.5, 11), (1, 5e-4, 0.75, 3)]
)
def test_decimals_are_those_that_people_write(
    k: float, alpha: float, beta: float, size: int
) -> None:
    true = Curve(k, alpha / size, beta)
    rough = rough_curve(DECADES, in_fp32(true, DECADES))
    assert rough is not None
    t = (rough.knee * 10.0 ** np.linspace(-3, 2, 26)).astype(np.float32).astype(np.float64)
    fitted = fitted_curve(t, in_fp32(true, t), rough)
    assert fitted is not None
    curve, found = in_decimals(fitted, size, t, in_fp32(true, t))
    assert (curve.k, found, curve.beta) == (k, alpha, beta)


def test_decimals_that_do_not_go_through_what_was_measured_are_not_taken() -> None:
    """2 is as near to such a beta as roundings lie; 24 decades of the base tell them apart."""
    true, t = Curve(1.0, 1.0, 1.9999995), np.array([0.0, 1.0, 1e12])
    assert in_decimals(true, 5, t, true(t)) == (true, 5.0)
    near = Curve(1.0, 1.0, 2.0)
    assert in_decimals(true, 5, t[:2], true(t[:2])) == (near, 5.0)


def test_without_k_it_is_a_power_of_t() -> None:
    rough = rough_curve(DECADES, in_fp32(Curve(0, 0.2, 0.5), DECADES))
    assert rough is not None
    assert rough.k == 0
    np.testing.assert_allclose((rough.factor, rough.beta), (0.2, 0.5), rtol=1e-5)


@pytest.mark.parametrize(
    "denominator",
    [
        1 + 0 * DECADES,
        1 / (1 + DECADES**2),
        np.where(DECADES > 1, np.nan, 1.0),
        -1 - DECADES,
        np.maximum(1, DECADES) * np.where(DECADES > 1e5, 1e-3, 1),
    ],
    ids=["constant", "falling", "undefined", "negative", "not rising"],
)
def test_other_curves_do_not_look_like_one(denominator: Floats) -> None:
    assert rough_curve(DECADES, denominator) is None


@pytest.mark.parametrize(
    "other",
    [
        lambda t: (2 + 2e-5 * t**2) ** 0.75 + 1e-4,
        lambda t: np.maximum((2 + 2e-5 * t**2) ** 0.75, 1.7),
        lambda t: (2 + 1e-3 * abs(t)) ** 1.5,
        lambda t: 2 + 1e-3 * t + 2e-5 * t**2,
    ],
    ids=["an epsilon behind", "a maximum", "no square", "a term more"],
)
def test_nearly_such_curves_are_not_fitted(other) -> None:  # type: ignore[no-untyped-def]
    t = 300 * 10.0 ** np.linspace(-3, 2, 26)
    for measured, found in ((other(t), False), (Curve(2, 2e-5, 0.75)(t), True)):
        fitted = fitted_curve(t, measured, Curve(2.01, 2.1e-5, 0.74))
        assert (fitted is not None) == found


def test_the_shortest_decimal() -> None:
    assert decimal(0.74999991, 3e-7) == 0.75
    assert decimal(9.9999999e-5, 3e-7) == 1e-4
    assert decimal(0.7512345, 3e-7) == 0.7512345
    assert decimal(0.0, 3e-7) == 0.0


@pytest.mark.parametrize(
    ("apart", "at", "found"),
    [
        (0.8e-6, slice(None), True),
        (1.6e-6, slice(None), False),
        (2.0e-6, slice(-2, None), True),  # where the logarithm is above 6, roundings are larger
        (3.2e-6, slice(-2, None), False),
    ],
)
def test_a_curve_goes_through_the_points_to_the_digits_of_fp32(
    apart: float, at: slice, found: bool
) -> None:
    t = 10.0 ** np.linspace(-3, 2, 26)
    true = Curve(1.0, 1.0, 0.75)
    measured = true(t)
    measured[at] *= 1 + apart * (-1.0) ** np.arange(len(measured[at]))
    assert (fitted_curve(t, measured, true) is not None) == found


@pytest.mark.parametrize("held", [4, 5])
def test_five_points_are_enough(held: int) -> None:
    t = DECADES * 10.0**4  # from 1e-2 to 1e6; the knee lies at 32
    denominator = Curve(1.0, 1e-3, 0.75)(t)
    denominator[held:] = np.inf
    rough = rough_curve(t, denominator)
    assert (rough is not None) == (held == 5)
    if rough is not None:
        np.testing.assert_allclose((rough.k, rough.factor, rough.beta), (1, 1e-3, 0.75), rtol=1e-3)


def test_points_behind_a_gap_do_not_count() -> None:
    denominator = Curve(1.0, 1e-4, 0.75)(DECADES)
    denominator[2] = np.nan
    assert rough_curve(DECADES, denominator) is None
    denominator = Curve(1.0, 1e-4, 0.75)(DECADES)
    denominator[0] = 0.0
    assert rough_curve(DECADES, denominator) is None


def test_a_curve_that_still_rises_at_its_beginning_is_none() -> None:
    """The knee lies below what was measured, so nothing tells k."""
    assert rough_curve(DECADES, Curve(1.0, 1e12, 0.75)(DECADES)) is None


@pytest.mark.parametrize(
    ("curve", "knee"), [(Curve(2, 2e-2, 0.75), 10.0), (Curve(0, 2e-2, 0.75), 1.0)]
)
def test_the_knee_is_where_the_squares_weigh_as_much_as_k(curve: Curve, knee: float) -> None:
    assert curve.knee == pytest.approx(knee)
    squares = np.array([1.0, 100.0])
    np.testing.assert_allclose(curve.sum_of(curve.of_sum(squares)), squares)

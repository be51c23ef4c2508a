"""An LRN is measured from what a function makes of planted inputs, and another function is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.pooled_channels import NotLrnError
from lrn_deploy.passes.lrn.probing.measure import Measured, measured

Floats = NDArray[np.floating]
SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)
SHAPE = (2, 8, 3, 4)


def lrn(spec: LrnSpec = SPEC, axis: int = 1) -> Callable[[Floats], NDArray[np.float32]]:
    def function(x: Floats) -> NDArray[np.float32]:
        y = reference(np.moveaxis(np.asarray(x, np.float32), axis, 1), spec)
        return np.moveaxis(y, 1, axis).astype(np.float32)

    return function


@pytest.mark.parametrize(
    ("spec", "shape", "axis", "sides"),
    [
        (SPEC, SHAPE, 1, (2, 2)),
        (LrnSpec(1, 1e-4, 0.75, 1), SHAPE, 1, (0, 0)),
        (LrnSpec(2, 1e-3, 0.5, 1), (1, 2, 3, 4), 1, None),
        (LrnSpec(4, 1e-3, 0.5, 1), SHAPE, 1, (2, 1)),
        (LrnSpec(15, 1e-6, 1, 4), (1, 30, 1, 1), 1, (7, 7)),
        (SPEC, (2, 3, 4, 8), 3, (2, 2)),
        (SPEC, (2, 3, 8), 2, (2, 2)),
        (SPEC, (2, 8, 3), 1, (2, 2)),
        (SPEC, (1, 8, 2, 2, 2), 1, (2, 2)),
        (LrnSpec(3, 11, 0.5, 1e-3), SHAPE, 1, (1, 1)),
        (LrnSpec(3, 1e-4, 0.75, 0), SHAPE, 1, (1, 1)),
    ],
)
def test_parameters_window_and_axis(
    spec: LrnSpec, shape: tuple[int, ...], axis: int, sides: tuple[int, int] | None
) -> None:
    if sides is None:  # the one channel on the left is all there are
        with pytest.raises(NotLrnError, match="all of its 2 channels"):
            measured(lrn(spec, axis), shape)
        return
    found = measured(lrn(spec, axis), shape)
    assert found == Measured(axis, *sides, spec.alpha, spec.beta, spec.k)


def pixels_meet(x: Floats) -> Floats:
    """A thousandth of the next pixel's."""
    y = lrn()(x)
    return y * (1 + 1e-3 * np.tanh(np.roll(x, 1, axis=3) / 1e3))


def images_meet(x: Floats) -> Floats:
    squares = x + 0.01 * x[::-1]
    return lrn()(squares) * np.divide(x, squares, where=squares != 0, out=np.zeros_like(x))


def a_corner_of_its_own(x: Floats) -> Floats:
    y = lrn()(x).copy()
    y[..., -1, -1] *= 1.001
    return y


def one_channels_k(x: Floats) -> Floats:
    y = lrn()(x).copy()
    y[:, 5] = lrn(LrnSpec(5, 1e-4, 0.75, 2.0001))(x)[:, 5]
    return y


def only_positive(x: Floats) -> Floats:
    return lrn()(np.maximum(x, 0))


def zero_becomes_one(x: Floats) -> Floats:
    return np.where(x == 0, 1, lrn()(x))


@pytest.mark.parametrize(
    "function",
    [
        pixels_meet,
        images_meet,
        a_corner_of_its_own,
        one_channels_k,
        only_positive,
        zero_becomes_one,
    ],
)
def test_small_faults_are_found(function: Callable[[Floats], Floats]) -> None:
    with pytest.raises(NotLrnError):
        measured(lambda x: np.asarray(function(np.asarray(x)), np.float32), SHAPE)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        lambda x: x / 3,
        lambda x: 0 * x,
        lambda x: x**3,
        lambda x: x / (1 - 1e-4 * x * x),
        lambda x: np.full_like(x, np.nan),
    ],
    ids=["itself", "scaled", "zero", "a cube", "alpha subtracted", "undefined"],
)
def test_what_does_not_look_like_lrn_is_not_spoken_of(
    function: Callable[[Floats], Floats],
) -> None:
    assert measured(lambda x: np.asarray(function(np.asarray(x)), np.float32), SHAPE) is None


def test_many_channels_are_not_planted() -> None:
    with pytest.raises(NotLrnError, match="3000 channels are too many"):
        measured(lrn(), (1, 3000, 2, 1))


def test_what_holds_in_one_shape_only_is_none() -> None:
    """An alpha that is computed of the number of images, for instance."""

    def function(x: Floats) -> NDArray[np.float32]:
        return lrn(LrnSpec(5, 5e-5 * len(x), 0.75, 2.0))(x)

    assert measured(function, SHAPE) == Measured(1, 2, 2, 1e-4, 0.75, 2.0)
    with pytest.raises(NotLrnError, match="it differs"):
        measured(function, SHAPE, (3, *SHAPE[1:]))


@pytest.mark.parametrize(("error", "one"), [(2e-6, True), (5e-6, False)])
def test_rounding_is_let_pass_and_more_is_not(error: float, one: bool) -> None:
    """Of negative numbers only, which are not planted; the quotient is about 1 where x is small."""
    spec = LrnSpec(5, 1e-4, 0.75, 1.0)

    def function(x: Floats) -> NDArray[np.float32]:
        return np.where(x < 0, (1 + error) * lrn(spec)(x), lrn(spec)(x)).astype(np.float32)

    if one:
        assert measured(function, SHAPE) == Measured(1, 2, 2, 1e-4, 0.75, 1.0)
    else:
        with pytest.raises(NotLrnError, match="it differs from the LRN"):
            measured(function, SHAPE)


@pytest.mark.parametrize(("error", "one"), [(0.7e-6, True), (2e-6, False)])
def test_what_a_running_sum_in_fp32_rounds_is_let_pass(error: float, one: bool) -> None:
    """It keeps a part of all channels that it has passed, which shows where a window is quiet."""

    def function(x: Floats) -> NDArray[np.float32]:
        squares = np.square(np.asarray(x, np.float64))
        sums = sum(
            np.pad(squares, [(0, 0), (1, 1), (0, 0), (0, 0)])[:, at : at + 64] for at in range(3)
        )
        rest = squares.sum(axis=1, keepdims=True) - sums
        return np.asarray(x / (1 + sums + error * rest) ** 0.75, np.float32)

    shape = (2, 64, 6, 6)
    if one:
        assert measured(function, shape) == Measured(1, 1, 1, 3.0, 0.75, 1.0)
    else:
        with pytest.raises(NotLrnError, match="it differs from the LRN"):
            measured(function, shape)


def summed_over(*axes: int) -> Callable[[Floats], NDArray[np.float32]]:
    """Each of three neighbours on an axis, or on each of several."""

    def function(x: Floats) -> NDArray[np.float32]:
        sums = np.square(np.asarray(x, np.float64))
        for axis in axes:
            widths = [(1, 1) if at == axis else (0, 0) for at in range(x.ndim)]
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(sums, widths), 3, axis)
            sums = windows.sum(axis=-1)
        return np.asarray(x / (2 + 1e-4 * sums) ** 0.75, np.float32)

    return function


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ((2,), "pixels within each channel"),
        ((2, 3), "pixels within each channel"),
        ((0,), "what it sums are not channels alone"),
        ((0, 2), "what it sums are not channels alone"),
        ((1, 3), "what it sums are not channels alone"),
        ((1, 2, 3), "what it sums are not channels alone"),
    ],
)
def test_what_else_is_summed_is_told(axes: tuple[int, ...], reason: str) -> None:
    with pytest.raises(NotLrnError, match=reason):
        measured(summed_over(*axes), (3, 8, 5, 4))


@pytest.mark.parametrize("axis", [1, 3])
def test_channels_lie_on_the_second_axis_or_on_the_last(axis: int) -> None:
    found = measured(summed_over(axis), (3, 8, 5, 4))
    assert found == Measured(axis, 1, 1, pytest.approx(3e-4), 0.75, 2.0)


@pytest.mark.parametrize("weight", [0.98, 1.02, 0.0])
def test_a_channel_that_weighs_otherwise_is_found(weight: float) -> None:
    band = np.eye(8) + np.eye(8, k=1) + np.eye(8, k=-1)
    band[4, 3] = weight

    def function(x: Floats) -> NDArray[np.float32]:
        sums = np.einsum("oc,nchw->nohw", band, np.square(np.asarray(x, np.float64)))
        return np.asarray(x / (2 + 1e-4 * sums) ** 0.75, np.float32)

    with pytest.raises(NotLrnError, match="its window is not the same for every channel"):
        measured(function, SHAPE)

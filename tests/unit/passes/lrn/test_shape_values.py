"""Shapes are told as ONNX says that the operators compute them, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from lrn_deploy.passes.lrn.shape_values import ShapeValues, UnknownShapeError

X = (2, 3, 4)


def tensor() -> ir.Value:
    return ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(X))


def const(*numbers: int) -> ir.Value:
    array = np.array(numbers, np.int64)
    return ir.Value(name="numbers", const_value=ir.Tensor(array))


def reshaped(x: ir.Value, target: tuple[int, ...], **attributes: int) -> ir.Value:
    return ir.node("Reshape", [x, const(*target)], attributes).outputs[0]


@pytest.mark.parametrize(
    ("attributes", "axes"),
    [
        ({}, X),
        ({"start": 1}, (3, 4)),
        ({"end": 2}, (2, 3)),
        ({"start": 1, "end": 2}, (3,)),
        ({"start": -2}, (3, 4)),
        ({"start": -2, "end": -1}, (3,)),
        ({"start": 3}, ()),
    ],
)
def test_a_shape_may_be_of_some_axes_only(attributes: dict[str, int], axes: Any) -> None:
    x = tensor()
    shape = ir.node("Shape", [x], attributes).outputs[0]
    assert tuple(ShapeValues(x).numbers(shape)) == axes


@pytest.mark.parametrize(
    ("target", "dims"),
    [
        ((4, 6), (4, 6)),
        ((0, -1), (2, 12)),  # 0 is the axis as it was
        ((0, 0, 2, -1), (2, 3, 2, 2)),
        ((-1,), (24,)),
        ((6, -1, 1), (6, 4, 1)),
    ],
)
def test_what_a_reshape_makes(target: tuple[int, ...], dims: tuple[int, ...]) -> None:
    x = tensor()
    value = reshaped(x, target)
    assert ShapeValues(x).dims(value) == dims
    assert np.empty(X).reshape([axis or X[at] for at, axis in enumerate(target)]).shape == dims


def test_with_allowzero_a_zero_is_an_axis_of_no_length() -> None:
    x = tensor()
    assert ShapeValues(x).dims(reshaped(x, (0, 12), allowzero=1)) == (0, 12)
    assert ShapeValues(x).dims(reshaped(x, (0, 12), allowzero=0)) == (2, 12)


@pytest.mark.parametrize("target", [(5, -1), (-1, -1, 3), (0, 5, -1)])
def test_a_shape_that_does_not_hold_the_tensor_is_not_told(target: tuple[int, ...]) -> None:
    x = tensor()
    with pytest.raises(UnknownShapeError, match="cannot have shape"):
        ShapeValues(x).dims(reshaped(x, target))


def test_an_axis_that_is_longer_than_1_is_not_squeezed() -> None:
    x = tensor()
    shapes = ShapeValues(x)
    wide = ir.node("Unsqueeze", [x, const(1, -1)]).outputs[0]
    assert shapes.dims(wide) == (2, 1, 3, 4, 1)
    assert shapes.dims(ir.node("Squeeze", [wide, const(-1, 1)]).outputs[0]) == X
    with pytest.raises(UnknownShapeError, match="cannot be squeezed"):
        shapes.dims(ir.node("Squeeze", [wide, const(0)]).outputs[0])


def test_dynamic_axes_of_one_name_are_one_length_and_of_two_names_two() -> None:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["n", 3, "n", "m"]))
    first, _, third, last = ShapeValues(x).x
    assert first == third != last

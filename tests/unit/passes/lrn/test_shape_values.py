"""Shapes are told as ONNX says that the operators compute them, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from lrn_deploy.passes.lrn.shape_values import ShapeValues, UnknownShapeError, constant

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


def made(operator: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
    return ir.node(operator, inputs, attributes).outputs[0]


def zeros(dtype: ir.DataType, number: float) -> ir.TensorProtocol:
    return ir.tensor(np.array([number], dtype.numpy()))


GRID = np.arange(6).reshape(2, 3)


def grid() -> ir.Value:
    return ir.Value(name="grid", const_value=ir.tensor(GRID))


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        (made("Identity", const(1, 2)), [1, 2]),
        (made("Cast", const(1, 2), to=ir.DataType.INT64), [1, 2]),
        (made("Concat", grid(), grid(), axis=0), np.concatenate([GRID, GRID])),
        (made("Concat", grid(), grid(), axis=1), np.concatenate([GRID, GRID], axis=1)),
        (made("Gather", grid(), const(1)), GRID[1:]),
        (made("Gather", grid(), const(1), axis=1), GRID[:, 1:2]),
        (made("Reshape", grid(), const(3, 2)), GRID.reshape(3, 2)),
        (made("Transpose", grid()), GRID.T),
        (made("Transpose", grid(), perm=[0, 1]), GRID),
        (made("Unsqueeze", grid(), const(0, 3)), GRID[None, :, :, None]),
        (made("Squeeze", made("Unsqueeze", grid(), const(1)), const(1)), GRID),
        (made("Slice", grid(), const(1), const(2)), GRID[1:]),
        (made("Slice", grid(), const(0, 1), const(2, 9)), GRID[:, 1:]),
        (made("Slice", grid(), const(1), const(3), const(1)), GRID[:, 1:]),
        (made("Slice", grid(), const(-1), const(-9), const(-1), const(-1)), GRID[:, ::-1]),
        (made("ConstantOfShape", const(3), value=zeros(ir.DataType.INT64, 7)), [7, 7, 7]),
        (made("ConstantOfShape", const(10, 100), value=zeros(ir.DataType.INT64, 0)),
         np.zeros((10, 100))),
    ],
)  # fmt: skip
def test_numbers_are_moved_as_onnx_moves_them(value: ir.Value, numbers: Any) -> None:
    found = ShapeValues(tensor()).numbers(value)
    np.testing.assert_array_equal(found, numbers)
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (made("Cast", const(1), to=ir.DataType.FLOAT), "another type than int64"),
        (made("Cast", const(1), to=ir.DataType.INT32), "another type than int64"),
        (made("ConstantOfShape", const(3)), "its value is a float"),
        (made("ConstantOfShape", const(7, 143), value=zeros(ir.DataType.INT64, 0)), "more numbers"),
        (made("Gather", const(1, 2), const(2)), "cannot be computed"),
        (made("Reshape", grid(), const(4)), "cannot be computed"),
        (made("Neg", const(1)), "does not follow from shapes"),
        (ir.node("Identity", [const(1)], domain="own").outputs[0], "does not follow from shapes"),
        (ir.node("Shape", [tensor()], domain="own").outputs[0], "does not follow from shapes"),
        (tensor(), "does not follow from shapes"),
    ],
)
def test_what_is_more_than_moved_is_not_told(value: ir.Value, reason: str) -> None:
    with pytest.raises(UnknownShapeError, match=reason):
        ShapeValues(tensor()).numbers(value)


def test_an_initializer_that_the_user_may_give_is_no_constant() -> None:
    value = const(1, 2)
    np.testing.assert_array_equal(constant(value), [1, 2])
    ir.Graph([value], [], nodes=[], initializers=[value], name="g")
    assert constant(value) is None
    assert constant(None) is None


def test_shapes_go_through_what_keeps_the_elements_and_through_nothing_else() -> None:
    x = tensor()
    shapes = ShapeValues(x)
    assert shapes.dims(made("Identity", x)) == X
    other = made("Relu", x)
    with pytest.raises(UnknownShapeError, match="the shape that Relu makes"):
        shapes.dims(other)
    shapes.know(other, (24,))
    assert shapes.dims(made("Identity", other)) == (24,)
    assert shapes.dims(made("Reshape", other, const(-1, 6))) == (4, 6)
    for foreign in (tensor(), ir.node("Identity", [x], domain="own").outputs[0]):
        with pytest.raises(UnknownShapeError, match="cannot be told"):
            shapes.dims(foreign)
    with pytest.raises(UnknownShapeError, match="the shape that Squeeze makes"):
        shapes.dims(made("Squeeze", x))  # of all axes of length 1, or as in opsets before 13
    with pytest.raises(UnknownShapeError, match="a Reshape has no input 1"):
        shapes.dims(made("Reshape", x))


@pytest.mark.parametrize(
    ("operator", "axes", "dims"),
    [
        ("Unsqueeze", (4,), None),
        ("Unsqueeze", (3,), (2, 3, 4, 1)),
        ("Unsqueeze", (-4,), (1, 2, 3, 4)),
        ("Unsqueeze", (-5,), None),
        ("Unsqueeze", (0, 4), (1, 2, 3, 4, 1)),
        ("Squeeze", (3,), None),
        ("Squeeze", (-4,), None),
    ],
)
def test_axes_that_are_not_there_are_not_told(
    operator: str, axes: tuple[int, ...], dims: tuple[int, ...] | None
) -> None:
    x = tensor()
    value = made(operator, x, const(*axes))
    if dims is None:
        with pytest.raises(UnknownShapeError, match="has no axes"):
            ShapeValues(x).dims(value)
    else:
        assert ShapeValues(x).dims(value) == dims


def test_a_zero_behind_the_axes_that_there_were_has_nothing_to_copy() -> None:
    x = tensor()
    with pytest.raises(UnknownShapeError, match="cannot have shape"):
        ShapeValues(x).dims(reshaped(x, (2, 3, 4, 0)))


def test_axes_without_a_name_are_of_lengths_of_their_own() -> None:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape([None, 3, None, "n", "n"]))
    first, three, second, n, again = ShapeValues(x).x
    assert (three, n) == (3, again)
    assert len({first, second, n}) == 3
    assert min(first, second, n) > 10**6


def test_lengths_that_stand_for_dynamic_axes_are_primes_so_that_none_divides_another() -> None:
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape([None] * 6))
    lengths = ShapeValues(x).x
    assert len(set(lengths)) == 6
    assert all(length % factor for length in lengths for factor in range(2, 1100))  # sqrt is 1001

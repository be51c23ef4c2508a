"""Windows of channels that a graph sums by hand: slices that are added, or a convolution of ones.

What such operators make of the squares of x is linear and the same at each pixel: a matrix over the
channels, and a constant. It is worked out here node by node, and is a window if the matrix is a
band of one number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lrn_deploy.passes.lrn.shape_values import ShapeValues, UnknownShapeError, constant

_CHANNELS = 1
"""Axis of the channels: (N, C, H, W)."""
_RANK = 4
_MOST_CHANNELS = 4096
_MOST_PADDED = 1024
_ROUNDING = 1e-6
"""What constants in fp32 may leave between the numbers of one band, relative."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SummedWindow:
    """``k + factor * sum of the squares`` of ``left`` channels, the one itself and ``right``."""

    left: int
    right: int
    factor: float
    k: float


@dataclass(frozen=True)
class _Linear:
    """``matrix @ squares + offset`` over the channels of each pixel."""

    matrix: Floats
    offset: Floats


class _NotLinearError(Exception):
    """A value is no such thing."""


def summed_window(
    value: ir.Value, is_square: Callable[[ir.Value], bool], shapes: ShapeValues
) -> SummedWindow | None:
    """The window of channels that ``value`` sums; None if it sums none.

    One channel alone is no window, nor are all channels for each, which any large size means.

    Args:
        value: Of the shape of x, (N, C, H, W).
        is_square: Whether a value is the square of x.
        shapes: Knows the shape of x.
    """
    channels = shapes.x[_CHANNELS]
    if channels > _MOST_CHANNELS:
        return None
    try:
        made = _Evaluation(is_square, shapes).of(value)
    except (_NotLinearError, UnknownShapeError):
        return None
    matrix = made.matrix
    if matrix.shape != (channels, channels):
        return None
    k, factor = made.offset[0], matrix[0, 0]
    if not factor or (made.offset != k).any():
        return None
    right = int(np.count_nonzero(matrix[0])) - 1
    left = int(np.count_nonzero(matrix[-1])) - 1
    if left + right == 0 or left == right == channels - 1:
        return None
    row, column = np.indices(matrix.shape)
    band = (row - left <= column) & (column <= row + right)
    if matrix[~band].any() or not np.allclose(matrix[band], factor, rtol=_ROUNDING, atol=0):
        return None
    return SummedWindow(left, right, float(factor), float(k))


class _Evaluation:
    def __init__(self, is_square: Callable[[ir.Value], bool], shapes: ShapeValues) -> None:
        self._is_square = is_square
        self._shapes = shapes
        self._known: dict[ir.Value, _Linear] = {}

    def of(self, value: ir.Value | None) -> _Linear:
        if value is None:
            raise _NotLinearError
        if value not in self._known:
            self._known[value] = self._computed(value)
        return self._known[value]

    def _computed(self, value: ir.Value) -> _Linear:
        if self._is_square(value):
            channels = self._shapes.x[_CHANNELS]
            return _Linear(np.eye(channels), np.zeros(channels))
        node = value.producer()
        if node is None or node.domain:
            raise _NotLinearError
        if node.op_type in ("Add", "Sub", "Mul", "Div"):
            return self._arithmetic(node)
        if node.op_type == "Conv":
            return self._convolved(node)
        if node.op_type in ("Pad", "Slice"):
            made = self.of(node.inputs[0])
            parts = (self._padded if node.op_type == "Pad" else self._sliced)(node)
            return _Linear(parts(made.matrix), parts(made.offset))
        raise _NotLinearError

    def _arithmetic(self, node: ir.Node) -> _Linear:
        one, other = node.inputs
        if node.op_type in ("Mul", "Add") and constant(one) is not None:
            one, other = other, one
        made = self.of(one)
        if constant(other) is None:
            if node.op_type not in ("Add", "Sub"):
                raise _NotLinearError
            more, sign = self.of(other), 1 if node.op_type == "Add" else -1
            if made.matrix.shape != more.matrix.shape:
                raise _NotLinearError
            return _Linear(made.matrix + sign * more.matrix, made.offset + sign * more.offset)
        numbers = _for_channels(other, len(made.offset))
        if node.op_type in ("Add", "Sub"):
            sign = 1 if node.op_type == "Add" else -1
            return _Linear(made.matrix, made.offset + sign * numbers)
        if node.op_type == "Div":
            if not numbers.all():
                raise _NotLinearError
            numbers = 1 / numbers
        return _Linear(made.matrix * numbers[:, None], made.offset * numbers)

    def _convolved(self, node: ir.Node) -> _Linear:
        made = self.of(node.inputs[0])
        kernel = constant(node.inputs[1])
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if kernel is None or kernel.shape[1:] != (len(made.offset), 1, 1):
            raise _NotLinearError
        attributes = node.attributes
        plain = (
            ("strides" not in attributes or set(attributes["strides"].as_ints()) == {1})
            and ("pads" not in attributes or not any(attributes["pads"].as_ints()))
            and attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        )
        if not plain:
            raise _NotLinearError
        weight = _decimals(kernel[:, :, 0, 0])
        added = (
            np.zeros(len(weight)) if bias is None else _for_channels(bias, len(weight), flat=True)
        )
        return _Linear(weight @ made.matrix, weight @ made.offset + added)

    def _padded(self, node: ir.Node) -> Callable[[Floats], Floats]:
        filled = node.inputs[2] if len(node.inputs) > 2 else None
        value = constant(filled)
        if node.attributes.get_string("mode", "constant") != "constant" or (
            filled is not None and (value is None or value.any())
        ):
            raise _NotLinearError
        axes = self._axes(node, 3)
        widths = self._numbers(node, 1)
        before, after = widths[: len(axes)], widths[len(axes) :]
        if len(after) != len(axes) or any(width < 0 for width in widths):
            raise _NotLinearError
        zeros = {axis: (low, high) for axis, low, high in zip(axes, before, after, strict=True)}
        low, high = zeros.pop(_CHANNELS, (0, 0))
        if any(any(pair) for pair in zeros.values()) or low + high > _MOST_PADDED:
            raise _NotLinearError
        return lambda rows: np.pad(rows, ((low, high), *((0, 0),) * (rows.ndim - 1)))

    def _sliced(self, node: ir.Node) -> Callable[[Floats], Floats]:
        axes, starts, ends = self._axes(node, 3), self._numbers(node, 1), self._numbers(node, 2)
        steps = self._numbers(node, 4) if len(node.inputs) > 4 else [1] * len(axes)
        if axes != [_CHANNELS] or steps != [1] or not len(starts) == len(ends) == 1:
            raise _NotLinearError
        return lambda rows: rows[starts[0] : ends[0]]

    def _axes(self, node: ir.Node, at: int) -> list[int]:
        if len(node.inputs) <= at or node.inputs[at] is None:
            return list(range(_RANK))
        return [axis % _RANK for axis in self._numbers(node, at)]

    def _numbers(self, node: ir.Node, at: int) -> list[int]:
        value = node.inputs[at] if at < len(node.inputs) else None
        if value is None:  # an attribute, in opsets before 10 and 11
            raise _NotLinearError
        return [int(number) for number in self._shapes.numbers(value).reshape(-1)]


def _for_channels(value: ir.Value | None, channels: int, *, flat: bool = False) -> Floats:
    """A constant as one number for each channel: a scalar, or of shape (C, 1, 1)."""
    array = constant(value)
    if array is None or array.ndim > _RANK:
        raise _NotLinearError
    long = [at - array.ndim for at, length in enumerate(array.shape) if length != 1]
    if long and (long != [-1 if flat else -3] or array.size != channels):
        raise _NotLinearError
    return np.broadcast_to(_decimals(array.reshape(-1)), channels)


def _decimals(array: NDArray[Any]) -> Floats:
    """Each number as the shortest decimal that is the same in fp32."""
    values, where = np.unique(array.astype(np.float32), return_inverse=True)
    return np.array([float(str(value)) for value in values])[where].reshape(array.shape)

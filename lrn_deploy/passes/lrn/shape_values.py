"""What a graph computes about shapes, evaluated without running it on any input.

Exporters compute the target of a Reshape or the widths of a Pad by nodes that only move numbers
around: they take axes of a tensor's shape, and put them together with constants. Here each dynamic
axis is a prime number of its own, and these nodes are computed. Where a result holds the prime, it
is that axis, whatever its length will be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Dims = tuple[int, ...]
"""Lengths of the axes of a tensor; one that is dynamic is a prime number."""

Array = NDArray[Any]

_MOST_NUMBERS = 1000
_PRIMES = (1000003, 1000033, 1000037, 1000039, 1000081, 1000099)


class UnknownShapeError(Exception):
    """A shape cannot be told; the message says which."""


class ShapeValues:
    """Shapes of reshaped copies of one tensor.

    Args:
        x: The tensor; its rank is known and at most 6.
    """

    def __init__(self, x: ir.Value) -> None:
        assert x.shape is not None
        symbols: dict[object, int] = {}
        dims = []
        for at, axis in enumerate(x.shape):
            if isinstance(axis, int):
                dims.append(axis)
            else:
                dims.append(symbols.setdefault(axis.value or at, _PRIMES[len(symbols)]))
        self.x: Dims = tuple(dims)
        self._known: dict[ir.Value, Dims] = {x: self.x}

    def know(self, value: ir.Value, dims: Dims) -> None:
        """Take it that ``value``, which has as many elements as x, has this shape."""
        self._known[value] = dims

    def dims(self, value: ir.Value) -> Dims:
        """The shape of a value that has as many elements as x.

        Raises:
            UnknownShapeError: If it cannot be told.
        """
        node = value.producer()
        if value in self._known:
            return self._known[value]
        if node is None or node.domain:
            raise UnknownShapeError(f"the shape of '{value.name}' cannot be told")
        if node.op_type == "Identity":
            return self.dims(_input(node, 0))
        if node.op_type == "Reshape":
            return self._reshaped(node)
        if node.op_type in ("Squeeze", "Unsqueeze") and len(node.inputs) == 2:
            return _change_axes(
                self.dims(_input(node, 0)), self.numbers(_input(node, 1)), node.op_type
            )
        raise UnknownShapeError(f"the shape that {node.op_type} makes cannot be told")

    def numbers(self, value: ir.Value) -> Array:
        """What the graph computes for ``value``, an array of integers.

        Raises:
            UnknownShapeError: If it depends on more than shapes.
        """
        known = constant(value)
        if known is not None:
            return known
        node = value.producer()
        if node is not None and not node.domain and node.op_type == "Shape":
            dims = self.dims(_input(node, 0))
            start = node.attributes.get_int("start", 0)
            return np.array(dims[start : node.attributes.get_int("end", len(dims))], np.int64)
        if node is None or node.domain or node.op_type not in _MOVES:
            raise UnknownShapeError(f"'{value.name}' does not follow from shapes alone")
        inputs = [self.numbers(source) for source in node.inputs if source is not None]
        try:
            return np.asarray(_MOVES[node.op_type](node, inputs))
        except (ValueError, IndexError, OverflowError) as error:
            raise UnknownShapeError(f"'{value.name}' cannot be computed: {error}") from error

    def _reshaped(self, node: ir.Node) -> Dims:
        target = [int(axis) for axis in self.numbers(_input(node, 1)).reshape(-1)]
        if 0 in target and not node.attributes.get_int("allowzero", 0):
            old = self.dims(_input(node, 0))
            if 0 in target[len(old) :]:
                raise UnknownShapeError(f"'{node.outputs[0].name}' cannot have shape {target}")
            target = [axis or old[at] for at, axis in enumerate(target)]
        if -1 in target:
            rest = math.prod(axis for axis in target if axis != -1)
            if target.count(-1) > 1 or not rest or math.prod(self.x) % rest:
                raise UnknownShapeError(f"'{node.outputs[0].name}' cannot have shape {target}")
            target[target.index(-1)] = math.prod(self.x) // rest
        return tuple(target)


def constant(value: ir.Value | None) -> Array | None:
    """The array that a value always is, or None."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def _change_axes(dims: Dims, numbers: Array, op_type: str) -> Dims:
    rank = len(dims) + (len(numbers) if op_type == "Unsqueeze" else 0)
    if any(not -rank <= axis < rank for axis in numbers):
        raise UnknownShapeError(f"shape {dims} has no axes {list(numbers)}")
    axes = {int(axis) % rank for axis in numbers}
    if op_type == "Unsqueeze":
        old = iter(dims)
        return tuple(1 if at in axes else next(old) for at in range(rank))
    if any(dims[axis] != 1 for axis in axes):
        raise UnknownShapeError(f"axes {sorted(axes)} of shape {dims} cannot be squeezed")
    return tuple(axis for at, axis in enumerate(dims) if at not in axes)


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise UnknownShapeError(f"a {node.op_type} has no input {index}, as in opsets before 13")
    return value


def _gather(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.take(inputs[0], inputs[1], axis=node.attributes.get_int("axis", 0))


def _concat(node: ir.Node, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=node.attributes["axis"].as_int())


def _cast(node: ir.Node, inputs: Sequence[Array]) -> Array:
    if node.attributes["to"].as_int() != ir.DataType.INT64:
        raise ValueError("it is cast to another type than int64")
    return inputs[0].astype(np.int64)


def _transpose(node: ir.Node, inputs: Sequence[Array]) -> Array:
    permutation = node.attributes.get("perm")
    return np.transpose(inputs[0], permutation.as_ints() if permutation else None)


def _constant_of_shape(node: ir.Node, inputs: Sequence[Array]) -> Array:
    value = node.attributes.get("value")
    if value is None:
        raise ValueError("its value is a float")
    if math.prod(int(length) for length in inputs[0].reshape(-1)) > _MOST_NUMBERS:
        raise ValueError("it holds more numbers than a shape")
    return np.full(inputs[0], value.as_tensor().numpy().item(), np.int64)


def _slice(_node: ir.Node, inputs: Sequence[Array]) -> Array:
    data, starts, ends, *more = inputs
    axes = more[0] if more else np.arange(len(starts))
    steps = more[1] if len(more) > 1 else np.ones(len(starts), np.int64)
    where = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where[int(axis)] = slice(int(start), int(end), int(step))
    return data[tuple(where)]


_MOVES: dict[str, Callable[[ir.Node, Sequence[Array]], Array]] = {
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Gather": _gather,
    "Identity": lambda _node, inputs: inputs[0],
    "Reshape": lambda _node, inputs: np.reshape(inputs[0], inputs[1]),
    "Slice": _slice,
    "Squeeze": lambda _node, inputs: np.squeeze(inputs[0], tuple(inputs[1])),
    "Transpose": _transpose,
    "Unsqueeze": lambda _node, inputs: np.expand_dims(inputs[0], tuple(inputs[1])),
}
"""Operators that move numbers and compute none, so that a prime comes out as it went in."""

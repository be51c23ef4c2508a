"""Whether an operator works on each row of a batch alone, and what in it is written for one size.

A network that was exported for a batch of one has that one in its shapes. It may be any other
number if each node treats each row by itself: here is what each operator needs for that. An
operator that is not here is not known to, and then nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from lrn_deploy.errors import BadInputError


class MixesRowsError(Exception):
    """A node may mix the rows of a batch; the message says how."""


@dataclass(frozen=True)
class Rows:
    """What is known of a graph's values so far.

    Attributes:
        carried: Values whose first axis is the batch.
        batch: How many rows the graph is written for.
    """

    carried: Collection[ir.Value]
    batch: int

    def carries(self, value: ir.Value | None) -> bool:
        """Whether the value's first axis is the batch."""
        return value in self.carried


Rule = Callable[[ir.Node, Rows], None]
"""Raises :class:`MixesRowsError` unless every output's rows come of the same rows of the inputs."""


def dims(value: ir.Value | None) -> tuple[int, ...]:
    """The lengths of a value's axes.

    Raises:
        MixesRowsError: If they are not all known.
    """
    if value is None or value.shape is None:
        raise MixesRowsError("a shape in it cannot be told")
    axes = tuple(value.shape)
    if not all(isinstance(axis, int) for axis in axes):
        raise MixesRowsError("a shape in it is not fixed")
    return tuple(int(axis) for axis in axes if isinstance(axis, int))


def numbers(value: ir.Value | None) -> list[int]:
    """The integers that a value always holds.

    Raises:
        MixesRowsError: If they are not constant.
    """
    array = _constant(value)
    if array is None:
        raise MixesRowsError("it depends on what is computed")
    return [int(number) for number in array.reshape(-1)]


def _constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array that an initialiser or a Constant is, or None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def _pointwise(node: ir.Node, rows: Rows) -> None:
    rank = len(dims(node.outputs[0]))
    for value in node.inputs:
        if value is None:
            continue
        shape = dims(value)
        if rows.carries(value):
            if len(shape) != rank:
                raise MixesRowsError("its operands have batches on different axes")
        elif len(shape) == rank and rank and shape[0] != 1:
            raise MixesRowsError("it has a constant for each row of the batch")


def _of_first(node: ir.Node, rows: Rows) -> None:
    if any(rows.carries(value) for value in node.inputs[1:]):
        raise MixesRowsError("what should be its weights is computed")


def _pool(node: ir.Node, rows: Rows) -> None:
    _of_first(node, rows)
    more = node.outputs[1] if len(node.outputs) > 1 else None
    if more is not None and (more.uses() or more.is_graph_output()):
        raise MixesRowsError("its indices count through the whole batch")


def _along(default: int) -> Rule:
    """An operator that works along one axis, which must not be the batch's."""

    def rule(node: ir.Node, rows: Rows) -> None:
        _of_first(node, rows)
        axis = node.attributes.get_int("axis", default)
        if axis % len(dims(node.inputs[0])) == 0:
            raise MixesRowsError("it works along the batch")

    return rule


def _concat(node: ir.Node, rows: Rows) -> None:
    if node.attributes["axis"].as_int() % len(dims(node.outputs[0])) == 0:
        raise MixesRowsError("it works along the batch")
    if not all(rows.carries(value) for value in node.inputs):
        raise MixesRowsError("it joins a constant to each row")


def _gather(node: ir.Node, rows: Rows) -> None:
    _of_first(node, rows)
    if node.attributes.get_int("axis", 0) % len(dims(node.inputs[0])) == 0:
        raise MixesRowsError("it takes rows out of the batch")


def _flatten(node: ir.Node, _rows: Rows) -> None:
    rank = len(dims(node.inputs[0]))
    axis = node.attributes.get_int("axis", 1)
    if (axis + rank if axis < 0 else axis) != 1:
        raise MixesRowsError("it joins the batch to another axis")


def _transpose(node: ir.Node, _rows: Rows) -> None:
    order = node.attributes.get("perm")
    if order is None or not order.as_ints() or order.as_ints()[0] != 0:
        raise MixesRowsError("it moves the batch to another axis")


def _axes_of(node: ir.Node, at: int) -> list[int] | None:
    """The axes that a node names by an input, as it does from opset 18 on; None: it names none."""
    return numbers(node.inputs[at]) if len(node.inputs) > at and node.inputs[at] else None


def _reduce(node: ir.Node, _rows: Rows) -> None:
    axes = _axes_of(node, 1)
    if not axes:
        if axes is not None and node.attributes.get_int("noop_with_empty_axes", 0) != 0:
            return
        raise MixesRowsError("it sums over the batch")
    if any(axis % len(dims(node.inputs[0])) == 0 for axis in axes):
        raise MixesRowsError("it sums over the batch")


def _squeeze(node: ir.Node, _rows: Rows) -> None:
    axes = _axes_of(node, 1)  # without any, it takes a batch of one away
    if axes is None or any(axis % len(dims(node.inputs[0])) == 0 for axis in axes):
        raise MixesRowsError("it takes the batch's axis away")


def _unsqueeze(node: ir.Node, _rows: Rows) -> None:
    axes = _axes_of(node, 1) or []
    rank = len(dims(node.inputs[0])) + len(axes)
    if not axes or any(axis % rank == 0 for axis in axes):
        raise MixesRowsError("it puts an axis before the batch")


def _slice(node: ir.Node, _rows: Rows) -> None:
    axes = _axes_of(node, 3)
    if axes is None or any(axis % len(dims(node.inputs[0])) == 0 for axis in axes):
        raise MixesRowsError("it cuts the batch")


def _pad(node: ir.Node, rows: Rows) -> None:
    _of_first(node, rows)
    rank = len(dims(node.inputs[0]))
    axes = [axis % rank for axis in _axes_of(node, 3) or range(rank)]
    widths = numbers(node.inputs[1])
    before = dict(zip(axes, widths, strict=False))
    after = dict(zip(axes, widths[len(axes) :], strict=False))
    if before.get(0) or after.get(0):
        raise MixesRowsError("it adds rows to the batch")


def _gemm(node: ir.Node, rows: Rows) -> None:
    if rows.carries(node.inputs[1]) or node.attributes.get_int("transA", 0) != 0:
        raise MixesRowsError("it multiplies rows of the batch with each other")
    added = node.inputs[2] if len(node.inputs) > 2 else None
    if added is None:
        return
    shape = dims(added)
    if rows.carries(added):
        if len(shape) != 2:
            raise MixesRowsError("its operands have batches on different axes")
    elif len(shape) == 2 and shape[0] != 1:
        raise MixesRowsError("it has a constant for each row of the batch")


def _matmul(node: ir.Node, rows: Rows) -> None:
    first, second = node.inputs
    one, other = dims(first), dims(second)
    rank = len(dims(node.outputs[0]))
    for value, shape in ((first, one), (second, other)):
        if rows.carries(value):
            continue
        if len(shape) > 2 and len(shape) == rank and shape[0] != 1:
            raise MixesRowsError("it has a constant for each row of the batch")
    if rows.carries(second) and (len(other) < 3 or len(other) != rank):
        raise MixesRowsError("it multiplies rows of the batch with each other")
    if rows.carries(first) and len(one) != rank:
        raise MixesRowsError("its operands have batches on different axes")


def _resize(node: ir.Node, _rows: Rows) -> None:
    if "axes" in node.attributes:
        if any(a % len(dims(node.inputs[0])) == 0 for a in node.attributes["axes"].as_ints()):
            raise MixesRowsError("it resizes the batch")
        return
    scales = _constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scales is None or not scales.size or scales.reshape(-1)[0] != 1:
        raise MixesRowsError("its sizes are written for one batch")


def _reshape(node: ir.Node, rows: Rows) -> None:
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    numbers(node.inputs[1])  # a target that is computed may follow the batch or not
    if math.prod(before) != math.prod(after):
        raise BadInputError(
            f"Reshape '{node.name or node.outputs[0].name}' makes {list(after)} of {list(before)}, "
            "which are not as many numbers.",
            "The file may be made for inputs of another size: export it again.",
        )
    # Equal products and equal first axes: what is behind is of one row each.
    if not after or after[0] != rows.batch or before[0] != rows.batch or 0 in before:
        raise MixesRowsError("it joins the batch to another axis, or parts it")


_POINTWISE = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh Cast Ceil Celu Clip Cos Cosh Div Elu Equal Erf "
    "Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu "
    "Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round "
    "Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor"
)
_OF_FIRST = (
    "AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool "
    "GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool "
    "SpaceToDepth"
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(_POINTWISE.split(), _pointwise),
    **dict.fromkeys(_OF_FIRST.split(), _of_first),
    **dict.fromkeys(("ArgMax", "ArgMin"), _along(0)),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "LpNormalization", "Softmax"), _along(-1)),
    "Concat": _concat,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "LayerNormalization": _along(-1),
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    **dict.fromkeys(
        (
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
        ),
        _reduce,
    ),
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _along(0),
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

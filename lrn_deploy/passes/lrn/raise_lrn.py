"""Pass ``raise_lrn``: an LRN that an exporter took apart -> one LRN node.

Before, as ``torch.onnx.export`` writes ``torch.nn.LocalResponseNorm`` (``dynamo=True``)::

    x -> Mul(x, x) -> Reshape(N, 1, C, H, W) -> Pad(channels) -> AveragePool(size, 1, 1) -> Squeeze
      -> Mul(alpha) -> Add(k) -> Pow(beta) -> Div(x, .) -> y

After::

    x -> LRN(size, alpha, beta, bias=k) -> y

The TorchScript exporter (``dynamo=False``) writes the same with its shapes and pads computed by two
dozen nodes and an ``If`` in the place of the Squeeze. Nothing here depends on how they are
computed: the shapes are evaluated (:mod:`.lrn.shape_values`), and the form is raised
only if they prove that the pool averages over the channels of one pixel and that its result has the
shape of x. The pool's average divides alpha by the size, as the LRN node does.

Requires: x of rank 4, of known shape, in fp32. Ensures: the names of x and y are kept. Left as the
network writes it, but told with its parameters, is what
:func:`.lrn.legalize_lrn.reason_to_write_out` would not have as a bare LRN node: even
sizes, whose window ONNX has elsewhere, and parameters that runtimes refuse or compute badly. What
only looks like LRN is left alone and told with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as ir_passes

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.channel_sums import summed_window
from lrn_deploy.passes.lrn.legalize_lrn import reason_to_write_out
from lrn_deploy.passes.lrn.lrn_blocks import find_lrn_nodes
from lrn_deploy.passes.lrn.pooled_channels import (
    NotLrnError,
    is_square,
    pool_behind,
    pooled_window,
    scalar,
)
from lrn_deploy.passes.lrn.shape_values import ShapeValues, UnknownShapeError

_MAKES_DENOMINATOR = frozenset({"Pow", "Sqrt", "Add", "Mul"})
_TELLING = frozenset({"Add", "AveragePool", "Conv", "Div", "Mul", "Pow", "Slice", "Sqrt", "Sub"})
"""Operators that people know an LRN by; the others only move numbers."""


@dataclass(frozen=True)
class Raised:
    """What became of what looked like an LRN.

    Attributes:
        spec: Its parameters; None if it is not proven to be an LRN.
        reason: Why it is not one LRN node now; empty if it is.
        operators: What it was written in, in graph order, each operator once.
        node: What makes its output now, of its first input: the LRN node, or the division.
    """

    spec: LrnSpec | None
    reason: str
    operators: tuple[str, ...]
    node: ir.Node

    @property
    def input(self) -> str:
        """Name of the value that enters it."""
        assert self.node.inputs[0] is not None
        return str(self.node.inputs[0].name)

    @property
    def output(self) -> str:
        """Name of the value that leaves it."""
        return str(self.node.outputs[0].name)


def raise_lrn(model: ir.Model) -> list[Raised]:
    """Raise every LRN of a graph in place; see the module's docstring.

    Args:
        model: Changed in place if it has an LRN to raise; nodes without a use are removed then.
            Its subgraphs and functions are not searched.

    Returns:
        What became of each division by a power of a sum over squares, in graph order.
    """
    if not any(_may_be_lrn(node) for node in model.graph):
        return []
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ir_passes.ShapeInferencePass()(model)
    done = []
    for node in list(model.graph):
        quotient = _Quotient.of(node)
        if quotient is not None and (item := _raise(model.graph, node, quotient)) is not None:
            done.append(item)
    if any(item.spec is not None and not item.reason for item in done):
        _remove_unused(model.graph)
        ir_passes.RemoveUnusedNodesPass()(model)
    return done


@dataclass(frozen=True)
class _Quotient:
    """``x / base ** beta``."""

    x: ir.Value
    base: ir.Value
    beta: float

    @classmethod
    def of(cls, div: ir.Node) -> _Quotient | None:
        """The parts of a division; None if it is none, or not by such a power."""
        if div.op_type != "Div" or div.domain:
            return None
        x, base = div.inputs
        beta: float | None = 1.0
        node = None if base is None else base.producer()
        if node is not None and node.op_type == "Sqrt":
            beta, base = 0.5, node.inputs[0]
        elif node is not None and node.op_type == "Pow":
            beta, base = scalar(node.inputs[1]), node.inputs[0]
        if x is None or base is None or beta is None:
            return None
        return cls(x, base, beta)


def _may_be_lrn(node: ir.Node) -> bool:
    """Whether a node is worth a look, which needs every shape of the graph."""
    if node.op_type != "Div" or node.domain or node.inputs[1] is None:
        return False
    maker = node.inputs[1].producer()
    return maker is not None and maker.op_type in _MAKES_DENOMINATOR


def _raise(graph: ir.Graph, div: ir.Node, quotient: _Quotient) -> Raised | None:
    """What became of a division; None if it looks like no LRN."""
    x, y = quotient.x, div.outputs[0]
    try:
        spec = _prove(quotient)
    except (NotLrnError, UnknownShapeError, BadInputError) as error:
        return Raised(None, str(error), (), div)
    if spec is None:
        return None
    inside = find_lrn_nodes(graph, [(str(x.name), str(y.name))])
    types = [node.op_type for node in graph if node in inside and node.op_type in _TELLING]
    operators = tuple(dict.fromkeys(types))
    reason = reason_to_write_out(spec)
    if reason:
        return Raised(spec, reason, operators, div)
    attributes = {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "bias": spec.k}
    lrn = ir.node("LRN", [x], attributes, name=f"{y.name}_lrn")
    lrn.metadata_props.update(div.metadata_props)
    ir.convenience.replace_nodes_and_values(graph, div, [div], [lrn], [y], lrn.outputs)
    return Raised(spec, "", operators, lrn)


def _prove(quotient: _Quotient) -> LrnSpec | None:
    """The parameters, if it is an LRN; None if it does not look like one.

    Raises:
        NotLrnError: If it looks like one and is none.
    """
    x = quotient.x
    k, value = _constant_operand(quotient.base, "Add", 0.0)
    alpha, value = _constant_operand(value, "Mul", 1.0)
    if value is not None and pool_behind(value) is not None:
        if x.shape is None or len(x.shape) != 4:
            raise NotLrnError(f"its input has shape {x.shape}, and only rank 4 is raised")
        if x.dtype != ir.DataType.FLOAT:
            raise NotLrnError(f"it computes in {x.dtype}, and only FLOAT is raised")
        left, right = pooled_window(value, x)
        return LrnSpec(_size(left, right), alpha, quotient.beta, k)
    if x.shape is None or len(x.shape) != 4 or x.dtype != ir.DataType.FLOAT:
        return None
    if not isinstance(x.shape[1], int):
        return None
    window = summed_window(quotient.base, partial(is_square, x=x), ShapeValues(x))
    if window is None:
        return None
    size = _size(window.left, window.right)
    return LrnSpec(size, _decimal(window.factor * size), quotient.beta, window.k)


def _size(left: int, right: int) -> int:
    """The size that means a window of so many channels on either side, as PyTorch has it."""
    size = left + right + 1
    if (left, right) != (size // 2, (size - 1) // 2):
        raise NotLrnError(
            f"its window of {size} has {left} channels on one side and {right} on the other"
        )
    return size


def _constant_operand(
    value: ir.Value | None, op_type: str, neutral: float
) -> tuple[float, ir.Value | None]:
    """The constant of a commutative operator and its other operand; neutral without one."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == op_type and not node.domain:
        for one, other in (node.inputs, reversed(node.inputs)):
            number = scalar(one)
            if number is not None:
                return number, other
    return neutral, value


def _decimal(value: float) -> float:
    """The shortest decimal that is the same in fp32."""
    return float(str(np.float32(value)))


def _remove_unused(graph: ir.Graph) -> None:
    """Remove nodes without a use; those inside an If would else go on using nodes of the graph."""
    for node in reversed(list(graph)):
        if any(item.uses() or item.is_graph_output() for item in node.outputs):
            continue
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                for inner in attribute.as_graph():
                    for at in range(len(inner.inputs)):
                        inner.replace_input_with(at, None)
        graph.remove(node, safe=True)

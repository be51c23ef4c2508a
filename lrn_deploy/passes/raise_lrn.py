"""Pass ``raise_lrn``: an LRN that an exporter took apart -> one LRN node.

Before, as ``torch.onnx.export`` writes ``torch.nn.LocalResponseNorm`` (``dynamo=True``)::

    x -> Mul(x, x) -> Reshape(N, 1, C, H, W) -> Pad(channels) -> AveragePool(size, 1, 1) -> Squeeze
      -> Mul(alpha) -> Add(k) -> Pow(beta) -> Div(x, .) -> y

After::

    x -> LRN(size, alpha, beta, bias=k) -> y

The TorchScript exporter (``dynamo=False``) writes the same with its shapes and pads computed by two
dozen nodes and an ``If`` in the place of the Squeeze. Nothing here depends on how they are
computed: the shapes are evaluated (:mod:`lrn_deploy.passes.shape_values`), and the form is raised
only if they prove that the pool averages over the channels of one pixel and that its result has the
shape of x. The pool's average divides alpha by the size, as the LRN node does.

Requires: x of rank 4, of known shape, in fp32. Ensures: the names of x and y are kept. Left alone,
with the reason, is what :func:`lrn_deploy.passes.legalize_lrn.reason_to_write_out` would not have
as a bare LRN node: even sizes, whose window ONNX has elsewhere, and parameters that runtimes refuse
or compute badly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common as ir_passes

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.legalize_lrn import reason_to_write_out
from lrn_deploy.passes.shape_values import ShapeValues, UnknownShapeError, constant

_CHANNELS = 2
"""Axis of the channels where they are pooled: (N, 1, C, ...)."""


@dataclass(frozen=True)
class Raised:
    """What became of what looked like an LRN.

    Attributes:
        spec: Its parameters; None if it was left alone.
        reason: Why it was left alone; empty if it was not.
        input: Name of the value that enters it.
        output: Name of the value that leaves it.
    """

    spec: LrnSpec | None
    reason: str
    input: str
    output: str


class _NotLrnError(Exception):
    """It is no LRN, or none that can be raised; the message says why."""


def raise_lrn(model: ir.Model) -> list[Raised]:
    """Raise every LRN of a graph in place; see the module's docstring.

    Args:
        model: Changed in place if it has an LRN to raise; nodes without a use are removed then.
            Its subgraphs and functions are not searched.

    Returns:
        What became of each division by a power of an average over a pool, in graph order.
    """
    if not any(node.op_type == "AveragePool" for node in model.graph):
        return []
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ir_passes.ShapeInferencePass()(model)
    done = []
    for node in list(model.graph):
        if node.op_type != "Div" or node.domain:
            continue
        parts = _Parts.of(node)
        if parts is not None:
            done.append(_raise(model.graph, node, parts))
    if any(item.spec is not None for item in done):
        _remove_unused(model.graph)
        ir_passes.RemoveUnusedNodesPass()(model)
    return done


@dataclass(frozen=True)
class _Parts:
    """``x / (k + alpha * mean) ** beta``, where mean is what an AveragePool makes, reshaped."""

    x: ir.Value
    mean: ir.Value
    pool: ir.Node
    alpha: float
    beta: float
    k: float

    @classmethod
    def of(cls, div: ir.Node) -> _Parts | None:
        """The parts of a division, or None if it does not look like an LRN."""
        x, value = div.inputs
        if x is None or value is None:
            return None
        beta = 1.0
        node = value.producer()
        if node is not None and node.op_type == "Sqrt":
            beta, value = 0.5, node.inputs[0]
        elif node is not None and node.op_type == "Pow":
            exponent = _scalar(node.inputs[1])
            if exponent is None:
                return None
            beta, value = exponent, node.inputs[0]
        k, value = _constant_operand(value, "Add", 0.0)
        alpha, value = _constant_operand(value, "Mul", 1.0)
        if value is None:
            return None
        pool = _pool_behind(value)
        return None if pool is None else cls(x, value, pool, alpha, beta, k)


def _raise(graph: ir.Graph, div: ir.Node, parts: _Parts) -> Raised:
    x, y = parts.x, div.outputs[0]
    entered, left = str(x.name), str(y.name)
    try:
        spec = _prove(parts)
    except (_NotLrnError, UnknownShapeError, BadInputError) as error:
        return Raised(None, str(error), entered, left)
    attributes = {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "bias": spec.k}
    lrn = ir.node("LRN", [x], attributes, name=f"{left}_lrn")
    lrn.metadata_props.update(div.metadata_props)
    ir.convenience.replace_nodes_and_values(graph, div, [div], [lrn], [y], lrn.outputs)
    return Raised(spec, "", entered, left)


def _prove(parts: _Parts) -> LrnSpec:
    """The parameters, if it is an LRN that can be raised."""
    x, pool = parts.x, parts.pool
    if x.shape is None or len(x.shape) != 4:
        raise _NotLrnError(f"its input has shape {x.shape}, and only rank 4 is raised")
    if x.dtype != ir.DataType.FLOAT:
        raise _NotLrnError(f"it computes in {x.dtype}, and only FLOAT is raised")
    pad, view = _before_pool(pool)
    squares = _unshaped(view)
    if not _is_square(squares, x):
        raise _NotLrnError("what is averaged is not the square of what is divided")
    shapes = ShapeValues(x)
    shapes.know(squares, shapes.x)
    dims = shapes.dims(view)
    if len(dims) < 4 or dims[:3] != (shapes.x[0], 1, shapes.x[1]):
        raise _NotLrnError("what is pooled is not of shape (N, 1, C, ...)")
    size = _window(pool, pad, shapes, len(dims))
    # The pool keeps the number of channels, so it makes the shape that it was given before the pad.
    shapes.know(pool.outputs[0], dims)
    if shapes.dims(parts.mean) != shapes.x:
        raise _NotLrnError("the average does not have the shape of the input")
    spec = LrnSpec(size, parts.alpha, parts.beta, parts.k)
    reason = reason_to_write_out(spec)
    if reason:
        raise _NotLrnError(reason)
    return spec


def _window(pool: ir.Node, pad: ir.Node | None, shapes: ShapeValues, rank: int) -> int:
    """The size of the pool's window, if it spans channels only and is centred as it should be."""
    attributes = pool.attributes
    kernel = list(attributes["kernel_shape"].as_ints())
    spatial = rank - 2
    ones, zeros = [1] * spatial, [0] * (2 * spatial)
    size = kernel[0]
    if kernel != [size, *ones[1:]]:
        raise _NotLrnError(f"its pool has the kernel {kernel}, and not one over channels alone")
    for name, plain in (("strides", ones), ("dilations", ones)):
        if name in attributes and list(attributes[name].as_ints()) != plain:
            raise _NotLrnError(f"its pool has {name} {list(attributes[name].as_ints())}")
    if attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        raise _NotLrnError("its pool computes its own padding")
    if attributes.get_int("ceil_mode", 0):
        raise _NotLrnError("its pool rounds up")
    pads = list(attributes["pads"].as_ints()) if "pads" in attributes else zeros
    if any(pads) and not attributes.get_int("count_include_pad", 0):
        raise _NotLrnError("its pool leaves the padding out of the average")
    widths = np.array([*pads[:spatial], *pads[spatial:]]).reshape(2, spatial)
    if pad is not None:
        widths = widths + _pad_widths(pad, shapes, rank)[:, 2:]
    if widths[:, 1:].any():
        raise _NotLrnError("more than its channels is padded")
    left, right = (int(width) for width in widths[:, 0])
    if left + right != size - 1:
        raise _NotLrnError(f"its padding of {left} and {right} does not fit the size {size}")
    if size % 2 and left != right:
        raise _NotLrnError(
            f"its window of {size} has {left} channels on one side and {right} on the other"
        )
    return size


def _pad_widths(pad: ir.Node, shapes: ShapeValues, rank: int) -> NDArray[np.int64]:
    """Zeros that a Pad puts before and behind each axis; shape (2, rank)."""
    filled = pad.inputs[2] if len(pad.inputs) > 2 else None
    if pad.attributes.get_string("mode", "constant") != "constant" or (
        filled is not None and _scalar(filled) != 0
    ):
        raise _NotLrnError("its channels are not padded with zeros")
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        raise _NotLrnError("its padding names axes")
    widths = shapes.numbers(_input(pad, 1)).reshape(-1)
    if widths.size != 2 * rank or (widths < 0).any() or widths.reshape(2, rank)[:, :2].any():
        raise _NotLrnError("more than its channels is padded")
    return widths.reshape(2, rank).astype(np.int64)


def _before_pool(pool: ir.Node) -> tuple[ir.Node | None, ir.Value]:
    """The Pad in front of a pool, if there is one, and what is padded and pooled."""
    value = _input(pool, 0)
    node = value.producer()
    if node is not None and node.op_type == "Pad" and not node.domain:
        return node, _input(node, 0)
    return None, value


def _pool_behind(value: ir.Value) -> ir.Node | None:
    """The AveragePool of which ``value`` is a reshaped copy."""
    node = _unshaped(value).producer()
    return node if node is not None and node.op_type == "AveragePool" and not node.domain else None


def _unshaped(value: ir.Value) -> ir.Value:
    """The value whose elements, in the same order, ``value`` has in another shape."""
    node = value.producer()
    if node is None or node.domain:
        return value
    if node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"):
        return _unshaped(_input(node, 0))
    if node.op_type == "If":
        ways = {_unshaped(item.as_graph().outputs[0]) for item in node.attributes.values()}
        return _unshaped(ways.pop()) if len(ways) == 1 else value
    return value


def _is_square(value: ir.Value, x: ir.Value) -> bool:
    node = value.producer()
    if node is None or node.domain or node.inputs[0] is not x:
        return False
    if node.op_type == "Pow":
        return _scalar(node.inputs[1]) == 2
    return node.op_type == "Mul" and node.inputs[1] is x


def _constant_operand(
    value: ir.Value | None, op_type: str, neutral: float
) -> tuple[float, ir.Value | None]:
    """The constant of a commutative operator and its other operand; neutral without one."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == op_type and not node.domain:
        for one, other in (node.inputs, reversed(node.inputs)):
            number = _scalar(one)
            if number is not None:
                return number, other
    return neutral, value


def _scalar(value: ir.Value | None) -> float | None:
    """The number that a value always is; the shortest decimal that is the same in fp32."""
    array = constant(value)
    if array is None or array.size != 1 or array.ndim > 4:
        return None
    return float(str(np.float32(array.item())))


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


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

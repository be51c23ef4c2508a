"""Pass ``fold_preprocessing``: an image's scaling and channel order -> the first Conv's weights.

Before, as a network that takes uint8 images begins::

    image -> Cast -> Transpose -> channels in reverse -> Mul(scale) -> Add(shift)
      -> Conv(., weight, bias) -> y

After, if the Conv has no padding::

    image -> Cast -> Transpose -> Conv(., weight * scale, bias + sum of weight * shift) -> y

and if it has, since what it pads with is zero behind the shift::

    image -> Cast -> Transpose -> Add(shift / scale) -> Conv(., weight * scale, bias) -> y

The weights stand in the image's order of channels. Sums are computed in fp64. What a row of nodes
makes of the order (the exporter writes a reversal as Transpose, GatherND, Transpose) is not read
off the nodes: the numbers 0, 1, 2, ... go through them.

Requires: weights and scaling as constants, in fp32; the image's size is fixed. Left alone, with the
reason, is a scaled image that something else than a Conv takes. Ensures: the name of y is kept, and
nodes that something else needs stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from lrn_deploy.passes.prepare import prepare
from lrn_deploy.passes.quantization.observe import initializer
from lrn_deploy.passes.quantization.qdq import array_of, drop_unused, input_of

Shift = Literal["none", "bias", "added"]
Numbers = NDArray[np.float64]

_MOVING = frozenset({"Transpose", "Gather", "GatherND", "Slice", "Identity"})
_SCALING = frozenset({"Mul", "Div", "Add", "Sub"})


@dataclass(frozen=True)
class Folded:
    """What became of one way from an image into the network.

    Attributes:
        input: Name of the graph's input.
        node: Name of the node that takes the scaled image.
        nodes: Names of the nodes that were folded into its weights; empty if it was left alone.
        shift: Where the shift is now.
        reason: Why it was left alone; empty if it was not.
    """

    input: str
    node: str
    nodes: tuple[str, ...]
    shift: Shift
    reason: str


def fold_preprocessing(model: ir.Model) -> list[Folded]:
    """Fold the scaling of images into convolutions in place; see the module's docstring.

    Args:
        model: Changed in place. Its subgraphs and functions are not searched.

    Returns:
        What became of each way from an input over a scaling to a node that does something else.

    Raises:
        BadInputError: If a value's type cannot be inferred.
    """
    prepare(model)
    done = []
    for value in model.graph.inputs:
        for node, scaled in dict.fromkeys(_takers(value, scaled=False)):
            if scaled:
                done.append(_fold(model.graph, str(value.name), node))
    return done


@dataclass(frozen=True)
class _Affine:
    """``value[:, order] * scale + shift``, channel by channel."""

    value: ir.Value
    order: NDArray[np.int64]
    scale: Numbers
    shift: Numbers
    nodes: tuple[ir.Node, ...]


def _takers(value: ir.Value, *, scaled: bool) -> Iterator[tuple[ir.Node, bool]]:
    """The nodes that take an image, moved and perhaps scaled, and whether it is scaled there."""
    for node in value.consumers():
        if node.domain:
            yield node, scaled
        elif node.op_type in _MOVING | {"Cast"} and node.inputs[0] is value:
            yield from _takers(node.outputs[0], scaled=scaled)
        elif node.op_type in _SCALING and _constant_of(node) is not None:
            yield from _takers(node.outputs[0], scaled=True)
        else:
            yield node, scaled


def _fold(graph: ir.Graph, image: str, node: ir.Node) -> Folded:
    def left(reason: str) -> Folded:
        return Folded(image, str(node.name), (), "none", reason)

    reason = _reason_to_leave(node)
    if reason:
        return left(reason)
    grouped = node.attributes.get_int("group", 1) > 1
    seen = _behind(input_of(node, 0), keep_order=grouped)
    where = _shift_to(bool(seen.shift.any()), _is_padded(node))
    if not seen.nodes:
        return left(
            "its Conv is grouped, so the order of its channels stays"
            if grouped
            else "it is not scaled channel by channel"
        )
    if where == "added" and len(seen.nodes) == 1:
        return left("its Conv is padded, so the addition stays")
    if where == "added" and (seen.scale == 0).any():
        return left("a channel is scaled by 0 before it is padded")
    weight = array_of(input_of(node, 1)).astype(np.float64)
    groups = node.attributes.get_int("group", 1)
    scale, shift = (
        np.repeat(numbers.reshape(groups, -1), len(weight) // groups, axis=0)[:, :, None, None]
        for numbers in (seen.scale, seen.shift)
    )
    moved, folded = (weight * shift).sum(axis=(1, 2, 3)), weight * scale
    if not grouped:
        folded = folded[:, np.argsort(seen.order)]
    with np.errstate(over="ignore"):
        finite = np.isfinite(folded.astype(np.float32)).all()
    if not finite:
        return left("its weights times the scale are not finite in fp32")
    value = seen.value
    if where == "added":
        value = _add(graph, node, seen)
    elif where == "bias":
        _add_to_bias(graph, node, moved)
    _replace_input(graph, node, 1, f"{input_of(node, 1).name}_folded", folded)
    node.replace_input_with(0, value)
    for old in seen.nodes:
        if not any(value.uses() or value.is_graph_output() for value in old.outputs):
            inputs = list(old.inputs)
            graph.remove(old, safe=True)
            for source in inputs:
                if source is not None:
                    drop_unused(graph, source)
    names = tuple(str(old.name) for old in reversed(seen.nodes))
    return Folded(image, str(node.name), names, where, "")


def _reason_to_leave(node: ir.Node) -> str:
    if node.op_type != "Conv" or node.domain:
        return f"{node.op_type} takes the scaled image, and only a Conv's weights can be folded"
    weight, bias = input_of(node, 1), node.inputs[2] if len(node.inputs) > 2 else None
    if weight.const_value is None or (bias is not None and bias.const_value is None):
        return "the weights of its Conv are not constant"
    if weight.dtype != ir.DataType.FLOAT:
        return f"the weights of its Conv are {weight.dtype}, and only FLOAT is folded"
    if not _is_fixed(input_of(node, 0)):
        return "the size of the image is not fixed"
    return ""


def _behind(x: ir.Value, *, keep_order: bool) -> _Affine:
    """The farthest value of which ``x`` is a scaled and reordered copy."""
    channels = _shape(x)[1]
    order: NDArray[np.int64] = np.arange(channels)
    scale, shift = np.ones(channels), np.zeros(channels)
    nodes: list[ir.Node] = []
    value = x
    while (node := value.producer()) is not None:
        if node.op_type in _SCALING:
            step = _step(node, channels)
            if step is None:
                break
            before, factor, term = step
            shift = shift + scale * term[order]
            scale = scale * factor[order]
            nodes.append(node)
            value = before
        else:
            found = None if keep_order else _reordered(value)
            if found is None:
                break
            value, moved, moving = found
            order = moved[order]
            nodes += moving
    return _Affine(value, order, scale, shift, tuple(nodes))


def _step(node: ir.Node, channels: int) -> tuple[ir.Value, Numbers, Numbers] | None:
    """Operand, factor and term of a scaling by constants of one number for each channel."""
    found = _constant_of(node)
    assert found is not None, "a scaling without a constant ends the way that leads here"
    value, constant = found
    if not _is_fixed(value) or _shape(value) != _shape(node.outputs[0]):  # it is repeated
        return None
    try:
        numbers = np.broadcast_to(array_of(constant), (1, channels, 1, 1)).astype(np.float64)
    except ValueError:  # it differs from pixel to pixel
        return None
    numbers = numbers.reshape(channels)
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op_type == "Mul":
        return value, numbers, zero
    if node.op_type == "Div":
        return (value, 1 / numbers, zero) if numbers.all() else None
    return value, one, numbers if node.op_type == "Add" else -numbers


def _constant_of(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """The operand that is computed and the one that is constant; None without such."""
    first, second = input_of(node, 0), input_of(node, 1)
    if second.const_value is not None and first.const_value is None:
        return first, second
    commutes = node.op_type in ("Mul", "Add")
    if commutes and first.const_value is not None and second.const_value is None:
        return second, first
    return None


def _reordered(value: ir.Value) -> tuple[ir.Value, NDArray[np.int64], list[ir.Node]] | None:
    """The nearest value of which ``value`` is a copy with its channels in another order."""
    nodes: list[ir.Node] = []
    end, start = value, value
    while (node := start.producer()) is not None and node.op_type in _MOVING:
        if any(operand is not None and operand.const_value is None for operand in node.inputs[1:]):
            return None
        nodes.append(node)
        start = input_of(node, 0)
        if _is_fixed(start) and _shape(start)[1:] == _shape(end)[1:]:
            shape = _shape(start)
            numbers = np.arange(np.prod(shape)).reshape(shape)
            moved = _moved(numbers, nodes)
            order = moved[0, :, 0, 0] // (shape[2] * shape[3])
            if sorted(order) == list(range(shape[1])) and (moved == numbers[:, order]).all():
                return start, order, nodes
    return None


def _moved(numbers: NDArray[np.int64], nodes: list[ir.Node]) -> NDArray[np.int64]:
    """What a row of nodes, the last first, makes of an array."""
    for node in reversed(nodes):
        feeds = {str(value.name): array_of(value) for value in node.inputs[1:] if value is not None}
        feeds[str(input_of(node, 0).name)] = numbers
        outputs = list(ReferenceEvaluator(ir.to_proto(node)).run(None, feeds))
        numbers = np.asarray(outputs[0])
    return numbers


def _is_fixed(value: ir.Value) -> bool:
    """Whether a value is of rank 4 and of a known size but for its first axis."""
    shape = value.shape
    return shape is not None and len(shape) == 4 and all(isinstance(n, int) for n in shape[1:])


def _shape(value: ir.Value) -> tuple[int, ...]:
    """A fixed shape with a batch of 2."""
    assert value.shape is not None
    return (2, *(int(axis) for axis in value.shape[1:] if isinstance(axis, int)))


def _is_padded(conv: ir.Node) -> bool:
    pads = list(conv.attributes["pads"].as_ints()) if "pads" in conv.attributes else []
    return any(pads) or conv.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def _shift_to(shifted: bool, padded: bool) -> Shift:
    if not shifted:
        return "none"
    return "added" if padded else "bias"


def _add(graph: ir.Graph, conv: ir.Node, seen: _Affine) -> ir.Value:
    name, x = str(input_of(conv, 0).name), seen.value
    terms = (seen.shift / seen.scale)[np.argsort(seen.order)].astype(np.float32)
    constant = initializer(graph, f"{name}_unscaled_shift", terms.reshape(1, -1, 1, 1))
    node = ir.node("Add", [x, constant], name=f"{name}_unscaled")
    value = node.outputs[0]
    value.name, value.shape, value.type = f"{name}_unscaled", x.shape, x.type
    graph.insert_before(conv, node)
    return value


def _add_to_bias(graph: ir.Graph, conv: ir.Node, moved: Numbers) -> None:
    bias = conv.inputs[2] if len(conv.inputs) > 2 else None
    name = f"{conv.outputs[0].name}_bias" if bias is None else str(bias.name)
    conv.resize_inputs(3)
    _replace_input(
        graph, conv, 2, f"{name}_folded", moved if bias is None else moved + array_of(bias)
    )


def _replace_input(graph: ir.Graph, node: ir.Node, at: int, name: str, numbers: Numbers) -> None:
    old = node.inputs[at]
    node.replace_input_with(at, initializer(graph, name, numbers.astype(np.float32)))
    if old is not None:
        drop_unused(graph, old)

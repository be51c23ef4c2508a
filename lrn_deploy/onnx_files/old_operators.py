"""Operators of old opsets brought to the seventh, from which onnx's own converter goes on.

Before it, the converter loses operators and cannot infer shapes:

=====================  ============================================================================
Reshape-1, Cast-1      their ``shape`` and type as they are said later
Concat-1, Pad-1        ``axis`` is said, ``paddings`` are ``pads``
Add-6 and its like     ``broadcast`` with ``axis``: the second operand gets the axes NumPy wants
PRelu-6                a slope for each channel of shape (C,) becomes (C, 1, 1)
Upsample-1             its two scales in one
ImageScaler            of the first exporters of Core ML, which no opset has: Mul, Add
=====================  ============================================================================

What training left behind is taken out (:mod:`.training`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.nodes import attribute, drop, set_opset
from lrn_deploy.onnx_files.operators import misfit
from lrn_deploy.onnx_files.order import described, reads
from lrn_deploy.onnx_files.skeleton import Shapes, Weights, shapes
from lrn_deploy.onnx_files.training import end_training

FIRST = 7
"""The first opset that the converter is given."""

_ARITHMETIC = frozenset({"Add", "And", "Div", "Mul", "Or", "Pow", "Sub", "Xor"})
_COMPARING = frozenset({"Equal", "Greater", "Less"})


def rewrite_old_operators(model: onnx.ModelProto, weights: Weights, opset: int) -> None:
    """Rewrite the old operators of a graph in place; see the module's docstring.

    Args:
        model: Its nodes are in order and fit ``opset``.
        weights: The initialisers that were taken out of it.
        opset: What it is written in.

    Raises:
        BadInputError: If a node cannot be brought over.
    """
    graph = model.graph
    end_training(graph, opset)
    drop(graph.node, "consumed_inputs")
    rewriting = _Rewriting(graph)
    if any(node.op_type == "ImageScaler" for node in graph.node):
        rewriting.replace(_scaled_image)
    if opset >= FIRST:
        return
    for node in graph.node:
        _as_in_7(rewriting, node)
    if any(_broadcasts(node) for node in graph.node):
        known = shapes(_of_first_operands(model), weights)
        rewriting.replace(lambda node, rewriting: _aligned(node, rewriting, known))
    for node in graph.node:
        if why := misfit(node, FIRST):
            raise BadInputError(
                f"{described(node)} of opset {opset} cannot be brought to opset {FIRST}, where it "
                f"{why}.",
                "Export the network again in a newer opset.",
            )
    set_opset(model, FIRST)


class _Rewriting:
    """New nodes and constants of a graph, under names that are free."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self._taken = {name for node in graph.node for name in (*node.output, *reads(node))}

    def name(self, base: str) -> str:
        name, at = base, 0
        while name in self._taken:
            at += 1
            name = f"{base}_{at}"
        self._taken.add(name)
        return name

    def constant(self, values: Any, base: str) -> str:
        name = self.name(base)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def replace(
        self, make: Callable[[onnx.NodeProto, _Rewriting], list[onnx.NodeProto] | None]
    ) -> None:
        """Put what ``make`` gives for a node in its place; None leaves it."""
        nodes: list[onnx.NodeProto] = []
        for node in self.graph.node:
            made = make(node, self)
            nodes.extend([node] if made is None else made)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.graph.node[:]
        self.graph.node.extend(copies)


def _as_in_7(rewriting: _Rewriting, node: onnx.NodeProto) -> None:
    """One node of opset 1 to 6 as opset 7 writes it, but for operands that are broadcast."""
    kind = node.op_type
    if kind == "Reshape" and len(node.input) == 1:
        target = np.asarray(attribute(node, "shape", ()), np.int64)
        node.input.append(rewriting.constant(target, f"{node.output[0]}_shape"))
        drop([node], "shape")
    elif kind == "Concat" and attribute(node, "axis") is None:
        node.attribute.append(helper.make_attribute("axis", 1))
    elif kind == "Pad" and attribute(node, "paddings") is not None:
        _rename(node, "paddings", "pads", list)
    elif kind in ("LpPool", "GlobalLpPool") and attribute(node, "p") is not None:
        if attribute(node, "p") != int(attribute(node, "p")):
            raise BadInputError(
                f"{described(node)} has a power that is not whole.", "Export the network again."
            )
        _rename(node, "p", "p", int)
    elif kind == "Cast" and isinstance(attribute(node, "to"), bytes):
        _rename(node, "to", "to", _type_of)
    elif kind == "Gemm":
        drop([node], "broadcast")
    elif kind == "Upsample" and attribute(node, "scales") is None:
        scales = [1.0, 1.0, attribute(node, "height_scale"), attribute(node, "width_scale")]
        drop([node], "height_scale", "width_scale")
        node.attribute.append(helper.make_attribute("scales", scales))


def _rename(node: onnx.NodeProto, old: str, new: str, make: Callable[[Any], Any]) -> None:
    value = make(attribute(node, old))
    drop([node], old)
    node.attribute.append(helper.make_attribute(new, value))


def _type_of(name: bytes) -> int:
    """The number of a type that the first opsets have by its name."""
    text = name.decode("ascii", "replace").upper()
    names = list(TensorProto.DataType.keys())
    if text not in names:
        raise BadInputError(
            f"A Cast is to the type {text!r}, which is none of ONNX's.", "Export the network again."
        )
    return int(TensorProto.DataType.Value(text))


def _scaled_image(node: onnx.NodeProto, rewriting: _Rewriting) -> list[onnx.NodeProto] | None:
    """ImageScaler: ``x * scale + bias`` for each channel."""
    if node.op_type != "ImageScaler":
        return None
    bias = np.asarray(attribute(node, "bias", ()), np.float32)
    if not bias.size:
        raise BadInputError(f"{described(node)} has no bias.", "Export the network again.")
    y = node.output[0]
    scale = rewriting.constant(np.float32(attribute(node, "scale", 1.0)), f"{y}_scale")
    offset = rewriting.constant(bias.reshape(-1, 1, 1), f"{y}_bias")
    scaled = rewriting.name(f"{y}_scaled")
    return [
        helper.make_node("Mul", [node.input[0], scale], [scaled]),
        helper.make_node("Add", [scaled, offset], [y], name=node.name),
    ]


def _broadcasts(node: onnx.NodeProto) -> bool:
    return node.op_type in _ARITHMETIC | _COMPARING | {"PRelu"}


def _of_first_operands(model: onnx.ModelProto) -> onnx.ModelProto:
    """A stand-in whose shapes can be inferred: before opset 7, results have their first operand's.

    It computes something else, and says opset 7.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    set_opset(copy, FIRST)
    for node in copy.graph.node:
        if _broadcasts(node):
            del node.input[1:], node.attribute[:]
            if node.op_type in _COMPARING:
                node.attribute.append(helper.make_attribute("to", TensorProto.BOOL))
            node.op_type = "Cast" if node.op_type in _COMPARING else "Identity"
    return copy


def _aligned(
    node: onnx.NodeProto, rewriting: _Rewriting, known: Shapes
) -> list[onnx.NodeProto] | None:
    """The second operand of an old node with axes of length 1 behind its own."""
    if not _broadcasts(node):
        return None
    axis = attribute(node, "axis")
    drop([node], "axis", "broadcast")
    x, other = known.get(node.input[0]), known.get(node.input[1])
    if axis is None and node.op_type != "PRelu":
        return None
    if x is None or other is None:
        raise BadInputError(
            f"The shapes that {described(node)} takes cannot be told.",
            "Export the network again in a newer opset.",
        )
    behind = 0
    if axis is not None:
        behind = len(x) - (axis + len(x) if axis < 0 else axis) - len(other)
    elif len(other) == 1 and other != (1,):
        behind = len(x) - 2
    inside = 0 <= behind <= len(x) - len(other)  # an axis can be any number
    wide = (*other, *(1,) * behind) if inside else other
    pairs = zip(x[::-1], wide[::-1], strict=False)
    if not inside or any(b not in (1, None, a) and a for a, b in pairs):
        raise BadInputError(
            f"The operands of {described(node)} do not fit each other: {list(x)}, {list(other)}.",
            "Export the network again in a newer opset.",
        )
    if not behind:
        return None
    name = rewriting.name(f"{node.input[1]}_for_{node.output[0]}")
    axes = list(range(len(other), len(wide)))
    unsqueezed = helper.make_node("Unsqueeze", [node.input[1]], [name], axes=axes)
    node.input[1] = name
    return [unsqueezed, node]

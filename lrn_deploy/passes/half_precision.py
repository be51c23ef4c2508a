"""Pass ``half_precision``: an fp32 graph -> one that computes in fp16 or bf16.

Before::

    input -> Conv -> relu -> LRN -> norm -> MaxPool -> ... -> output            all fp32

After, for fp16 (``~`` marks fp16; every other value is fp32)::

    input -> Cast -> input_fp16~ -> Conv~ -> relu_fp16~ -> Cast -> relu -> LRN -> norm
          -> Cast -> norm_fp16~ -> MaxPool~ -> ... -> output_fp16~ -> Cast -> output

Inputs and outputs of the graph keep their dtype. So does each LRN layer unless it is told
otherwise, whatever operators it is written in: its square overflows fp16 where ``|x| >= 256``, and
its sum is what the 8 bits of bf16 hurt most. A value that is wanted in both types keeps its name
for fp32, so an LRN layer is bounded by the same names as before, and has ``_fp16`` or ``_bf16``
after it for the other. Three kinds of operators stay in fp32 between casts: those that the opset
does not define for the half type, those whose result's type an attribute fixes (``Cast``), and
those with a subgraph.

Weights are rounded to the nearest. A weight beyond the largest fp16 number, 65504, is refused:
clamping it would change the network without a word, and the activations would overflow next; bf16
has fp32's range. Weights below fp16's smallest normal number, 6.1e-5, lose digits: a tensor that
loses much of its norm is named in what the pass returns, and the parity check measures the effect.

For bf16 the graph is raised to opset 22, the first that defines Conv and the pools for it.

Ensures: all types fit the operators' definitions; names are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.lrn.lrn_blocks import Bounds, find_lrn_nodes
from lrn_deploy.passes.prepare import prepare

HalfType = Literal["fp16", "bf16"]

TYPES: dict[HalfType, ir.DataType] = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}

BF16_OPSET = 22
"""The first opset that defines the operators of convolutional networks for bf16."""

NOT_RAISED = frozenset({"DFT", "GridSample", "GroupNormalization"})
"""Operators that mean something else at :data:`BF16_OPSET` than at opset 18 (ONNX's Changelog)."""

MAX_LOSS = 1e-3
"""Relative L2 change above which a rounded fp16 weight is reported; normal numbers stay below
5e-4."""

_TYPE_IN_ATTRIBUTE = frozenset(
    {
        "Bernoulli",
        "Cast",
        "ConstantOfShape",
        "DequantizeLinear",
        "EyeLike",
        "Multinomial",
        "QuantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


@dataclass(frozen=True)
class HalfPrecision:
    """What the pass did.

    Attributes:
        halved: Names of the nodes that compute in the half type now.
        kept: Names of the nodes that compute in fp32 as before.
        lossy: Weights that lost more than :data:`MAX_LOSS` of their L2 norm, and how much.
    """

    halved: tuple[str, ...]
    kept: tuple[str, ...]
    lossy: dict[str, float]


def half_precision(
    model: ir.Model,
    precision: HalfType,
    *,
    lrn_layers: Iterable[Bounds] = (),
    keep_lrn_fp32: bool = True,
) -> HalfPrecision:
    """Make a graph compute in fp16 or bf16; see the module's docstring.

    Args:
        model: Changed in place.
        precision: The type.
        lrn_layers: The bounds of each LRN layer.
        keep_lrn_fp32: False computes them in the half type, too.

    Raises:
        BadInputError: If a weight overflows, a value's type is unknown, an LRN layer is not where
            it should be, or an operator cannot be raised to the opset that bf16 needs.
    """
    prepare(model)
    graph = model.graph
    if precision == "bf16":
        _raise_opset(graph)
    lrn = find_lrn_nodes(graph, lrn_layers) if keep_lrn_fp32 else set()
    floating = [node for node in graph if any(map(_is_float, _parameters(node)))]
    half = {
        node
        for node in floating
        if node not in lrn and _defined_for(node, TYPES[precision], graph.opset_imports[""])
    }
    lossy = _halve(graph, half, precision)
    return HalfPrecision(
        halved=tuple(str(node.name) for node in floating if node in half),
        kept=tuple(str(node.name) for node in floating if node not in half),
        lossy=lossy,
    )


def _raise_opset(graph: ir.Graph) -> None:
    """Raise the opset to the first that defines the usual operators for bf16."""
    if graph.opset_imports[""] >= BF16_OPSET:
        return
    stuck = next((node for node in graph.all_nodes() if node.op_type in NOT_RAISED), None)
    if stuck is not None:
        raise BadInputError(
            f"The operator {stuck.op_type} of '{stuck.name}' means something else in opset "
            f"{BF16_OPSET}, which bf16 needs.",
            "Use --precision fp16.",
        )
    graph.opset_imports[""] = BF16_OPSET


def _defined_for(node: ir.Node, dtype: ir.DataType, opset: int) -> bool:
    """Whether the opset defines the operator for ``dtype`` wherever this node has fp32."""
    if node.domain or node.op_type in _TYPE_IN_ATTRIBUTE:
        return False
    if any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for attribute in _attrs(node)
    ):
        return False
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        return False
    allowed = {
        constraint.type_param_str: constraint.allowed_type_strs
        for constraint in schema.type_constraints
    }
    wanted = f"tensor({dtype.name.lower()})"
    for values, formals in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for index, value in enumerate(values):
            formal = formals[min(index, len(formals) - 1)]  # the last one may be variadic
            if _is_float(value) and wanted not in allowed.get(formal.type_str, ()):
                return False
    return True


def _halve(graph: ir.Graph, half: set[ir.Node], precision: HalfType) -> dict[str, float]:
    """Give the nodes of ``half`` half-typed inputs and outputs; returns the lossy weights."""
    lossy: dict[str, float] = {}
    for value in list(graph.initializers.values()):
        if _is_float(value) and any(node in half for node, _ in value.uses()):
            loss = _halve_weight(graph, value, half, precision)
            if loss > MAX_LOSS and precision == "fp16":
                lossy[str(value.name)] = loss
    for value in [*graph.inputs, *(output for node in graph for output in node.outputs)]:
        if not _is_float(value):
            continue
        producer = value.producer()
        if producer is not None and producer in half:
            _halve_output(graph, value, producer, half, precision)
        elif any(node in half for node, _ in value.uses()):
            cast = _cast(value, f"{value.name}_{precision}", TYPES[precision])
            _move_uses([use for use in value.uses() if use[0] in half], cast.outputs[0])
            _insert_after(graph, producer, cast)
    return lossy


def _halve_weight(
    graph: ir.Graph, value: ir.Value, half: set[ir.Node], precision: HalfType
) -> float:
    """Round an initializer for the nodes of ``half``; returns its relative L2 change."""
    assert value.const_value is not None
    exact = value.const_value.numpy()
    with np.errstate(over="ignore"):
        rounded = exact.astype(TYPES[precision].numpy())
    back = rounded.astype(np.float32)
    overflow = np.isinf(back) & np.isfinite(exact)
    if overflow.any():
        worst = np.abs(exact[overflow]).max()
        raise BadInputError(
            f"The weight '{value.name}' holds {worst:g}, beyond the largest {precision} number.",
            "Use --precision bf16, which has the range of fp32."
            if precision == "fp16"
            else "Keep this network in fp32.",
        )
    uses = [use for use in value.uses() if use[0] in half]
    if len(uses) == len(value.uses()) and not value.is_graph_output():
        value.const_value = ir.Tensor(rounded, name=value.name)
        value.type = ir.TensorType(TYPES[precision])
    else:
        name = f"{value.name}_{precision}"
        twin = ir.Value(name=name, const_value=ir.Tensor(rounded, name=name))
        twin.type, twin.shape = ir.TensorType(TYPES[precision]), value.shape
        graph.register_initializer(twin)
        _move_uses(uses, twin)
    norm = float(np.linalg.norm(exact))
    return float(np.linalg.norm(back - exact)) / norm if norm and np.isfinite(norm) else 0.0


def _halve_output(
    graph: ir.Graph, value: ir.Value, producer: ir.Node, half: set[ir.Node], precision: HalfType
) -> None:
    """Make the output of a half node half, with a cast back under its name if that is wanted."""
    fp32_uses = [use for use in value.uses() if use[0] not in half]
    value.type = ir.TensorType(TYPES[precision])
    if not fp32_uses and not value.is_graph_output():
        return
    name = str(value.name)
    value.name = f"{name}_{precision}"
    cast = _cast(value, name, ir.DataType.FLOAT)
    _move_uses(fp32_uses, cast.outputs[0])
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = cast.outputs[0]
    _insert_after(graph, producer, cast)


def _cast(value: ir.Value, name: str, dtype: ir.DataType) -> ir.Node:
    output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(dtype))
    return ir.node("Cast", [value], {"to": dtype}, outputs=[output], name=f"cast_{name}")


def _insert_after(graph: ir.Graph, producer: ir.Node | None, node: ir.Node) -> None:
    """Insert after the producer, or at the start for what a graph input feeds."""
    if producer is not None:
        graph.insert_after(producer, node)
    else:
        graph.insert_before(graph[0], node)


def _move_uses(uses: Iterable[tuple[ir.Node, int]], new: ir.Value) -> None:
    for node, index in uses:
        node.replace_input_with(index, new)


def _parameters(node: ir.Node) -> list[ir.Value | None]:
    return [*node.inputs, *node.outputs]


def _attrs(node: ir.Node) -> Iterable[ir.Attr]:
    return node.attributes.values()


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype == ir.DataType.FLOAT

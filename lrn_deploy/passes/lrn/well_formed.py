"""Whether the nodes of a graph are what their operators ask for, so that passes may rely on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir
from onnx import defs

_OPTIONAL = defs.OpSchema.FormalParameterOption.Optional


def is_well_formed(graph: ir.Graph) -> bool:
    """Whether its nodes stand in an order that runs, with the inputs and attributes that they need.

    Nodes of other domains than ONNX's own are not looked into. Types and shapes are left to shape
    inference, and attributes that an operator does not have to the runtime.
    """
    return _is_in_order(graph, graph.opset_imports.get("", 1), set())


def _is_in_order(nodes: Iterable[ir.Node], opset: int, made: set[ir.Value]) -> bool:
    for node in nodes:
        if not node.domain and not _is_complete(node, opset):
            return False
        if any(value.producer() is not None and value not in made for value in _inputs(node)):
            return False
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH and not _is_in_order(
                attribute.as_graph(), opset, set(made)
            ):
                return False
        made.update(node.outputs)
    return True


def _is_complete(node: ir.Node, opset: int) -> bool:
    try:
        schema = defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError:
        return False
    if not schema.min_input <= len(node.inputs) <= schema.max_input:
        return False
    if not schema.min_output <= len(node.outputs) <= schema.max_output:
        return False
    for at, value in enumerate(node.inputs):
        if value is None and schema.inputs[min(at, len(schema.inputs) - 1)].option != _OPTIONAL:
            return False
    for name, formal in schema.attributes.items():
        attribute = node.attributes.get(name)
        kind: Any = formal.type  # an IntEnum, of which onnx's stub does not tell
        if attribute is None:
            if formal.required:
                return False
        elif attribute.type.value != kind.value:
            return False
    return True


def _inputs(node: ir.Node) -> Iterable[ir.Value]:
    return (value for value in node.inputs if value is not None)

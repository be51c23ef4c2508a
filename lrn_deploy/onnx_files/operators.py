"""Which operators a file uses, and of which opset they really are.

A file says its opset, and may be wrong: the zoo once had two files' stamps swapped. Each operator
has a signature for each opset (its attributes, how many inputs and outputs), so the nodes
themselves tell. Where they do not fit what the file says, the nearest opset that fits all is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import onnx
from onnx import AttributeProto

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.order import described

NEWEST = onnx.defs.onnx_opset_version()
STANDARD = ("", "ai.onnx")
"""Two spellings of the domain of ONNX's own operators."""

_LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_QUANTIZED = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)
_REWRITTEN = frozenset({"ImageScaler"})
"""Operators that no schema knows and :mod:`.old_operators` rewrites."""
_TESTED = frozenset({"BatchNormalization", "Dropout"})
_IGNORED = {("Dropout", "ratio"), ("Dropout", "is_test"), ("Dropout", "seed")}
"""Attributes that tools leave behind; Dropout itself does not stay."""
_KINDS = {
    AttributeProto.FLOAT: "FLOAT",
    AttributeProto.INT: "INT",
    AttributeProto.STRING: "STRING",
    AttributeProto.TENSOR: "TENSOR",
    AttributeProto.GRAPH: "GRAPH",
    AttributeProto.FLOATS: "FLOATS",
    AttributeProto.INTS: "INTS",
    AttributeProto.STRINGS: "STRINGS",
}


def check_operators(model: onnx.ModelProto) -> None:
    """Refuse what no standard runtime computes of a tensor alone.

    Raises:
        BadInputError: For custom operators, loops, sequences, and random or quantized operators.
    """
    for node in every_node(model.graph.node):
        if node.domain not in STANDARD:
            raise BadInputError(
                f"{described(node)} is a custom operator, of the domain '{node.domain}', which "
                "only its own runtime knows.",
                "Export the network in standard operators.",
            )
        kind = node.op_type
        if kind in _LOOPS:
            raise BadInputError(
                f"{described(node)} is a loop; only networks without control flow are imported.",
                "Export the network for inputs of one size, so that the exporter unrolls it.",
            )
        if "Sequence" in kind or "Optional" in kind:
            raise BadInputError(
                f"{described(node)} works on sequences or optional values; only networks of "
                "tensors are imported.",
                "Export the network without them, or only the part that has none.",
            )
        if kind in _RANDOM:
            raise BadInputError(
                f"{described(node)} is random, so no two runs could be compared.",
                "Export the network for inference.",
            )
        if kind in _QUANTIZED:
            raise BadInputError(
                f"{described(node)} is of a network that was quantized.",
                "Import the one in float32; 'lrn-deploy optimize --precision int8' quantizes it.",
            )
        if kind not in _schemas() and kind not in _REWRITTEN:
            raise BadInputError(
                f"{described(node)} is no operator of ONNX.",
                "Export the network in standard operators.",
            )


def true_opset(nodes: Iterable[onnx.NodeProto], stamp: int) -> int:
    """The opset that nodes are written in: the ``stamp`` if they fit it, or the nearest they fit.

    Raises:
        BadInputError: If they fit none.
    """
    listed = [node for node in every_node(nodes) if node.op_type not in _REWRITTEN]
    if stamp > NEWEST:
        raise BadInputError(
            f"The file is of opset {stamp}; the installed onnx {onnx.__version__} knows opsets up "
            f"to {NEWEST}.",
            "Upgrade onnx.",
        )
    wrong = next((node for node in listed if misfit(node, stamp)), None)
    if wrong is None and stamp > 0:
        return stamp
    fitting = [
        opset for opset in range(1, NEWEST + 1) if not any(misfit(node, opset) for node in listed)
    ]
    if not fitting:
        assert wrong is not None
        raise BadInputError(
            f"The file says that it is of opset {stamp}, where {described(wrong)} "
            f"{misfit(wrong, stamp)}, and it fits no other opset either.",
            "Export the network again.",
        )
    # Before opset 7 a network says in each of these that it is not in training.
    if any(node.op_type in _TESTED and not _has(node, "is_test") for node in listed):
        fitting = [opset for opset in fitting if opset >= 7] or fitting
    return min(fitting, key=lambda opset: (abs(opset - stamp), opset))


def misfit(node: onnx.NodeProto, opset: int) -> str:
    """What of a node is not as the opset has it; empty if nothing is."""
    schema = _schema(node.op_type, opset)
    if schema is None:
        return "is not there yet, or no longer"
    for attribute in node.attribute:
        name = attribute.name
        if (node.op_type, name) in _IGNORED:
            continue
        if name not in schema.attributes:
            return f"has no attribute '{name}'"
        kind = str(schema.attributes[name].type).rpartition(".")[2]
        if attribute.type and _KINDS.get(attribute.type) != kind:
            return f"has the attribute '{name}' of another type"
    given = {attribute.name for attribute in node.attribute}
    missing = [name for name, declared in schema.attributes.items() if declared.required]
    for name in missing:
        if name not in given:
            return f"needs the attribute '{name}'"
    if not schema.min_input <= _count(node.input) <= schema.max_input:
        return f"does not take {_count(node.input)} inputs"
    if not schema.min_output <= len(node.output) <= schema.max_output:
        return f"does not make {len(node.output)} outputs"
    return ""


def every_node(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of the graphs inside them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from every_node(graph.node)


def _has(node: onnx.NodeProto, name: str) -> bool:
    return any(attribute.name == name for attribute in node.attribute)


def _count(names: Iterable[str]) -> int:
    """How many inputs are given; ones left out at the end do not count."""
    listed = list(names)
    while listed and not listed[-1]:
        listed.pop()
    return len(listed)


@cache
def _schemas() -> dict[str, list[onnx.defs.OpSchema]]:
    """Every version of every operator, the newest first."""
    found: dict[str, list[onnx.defs.OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            found.setdefault(schema.name, []).append(schema)
    for versions in found.values():
        versions.sort(key=lambda schema: -schema.since_version)
    return found


@cache
def _schema(kind: str, opset: int) -> onnx.defs.OpSchema | None:
    """An operator as an opset has it; None if it is not there."""
    for schema in _schemas().get(kind, ()):
        if schema.since_version <= opset:
            return None if schema.deprecated else schema
    return None

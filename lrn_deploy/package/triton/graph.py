"""An ONNX file for the ONNX Runtime that Triton was built with, which is older than PyPI's.

The file says which version of the operators it means, and which version of the format it is of.
An older runtime refuses a newer number without looking at what is used. An operator means the same
under an older number if it has not changed since; then, and only then, the number is lowered, and
the graph is otherwise as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import defs

OPSET = 21
IR_VERSION = 10
"""What ONNX Runtime 1.20 reads at most, which the builds of Triton 25.03 have."""
RUNTIME = "ONNX Runtime 1.20, as in Triton 25.03"
_STANDARD = ("", "ai.onnx")
_OWN = "com.microsoft"


@dataclass(frozen=True)
class Readable:
    """An ONNX file for an older runtime.

    Attributes:
        data: The file.
        notes: A sentence for each thing that was changed, or that an older runtime may refuse.
    """

    data: bytes
    notes: tuple[str, ...] = ()


def readable(data: bytes, opset: int = OPSET, ir_version: int = IR_VERSION) -> Readable:
    """Lower the numbers of an ONNX file where that changes nothing of what it computes.

    Args:
        data: The file.
        opset: The newest version of the standard operators that is read.
        ir_version: The newest version of the format that is read.
    """
    model = onnx.load_model_from_string(data)
    notes = []
    before = max((one.version for one in _standard(model)), default=0)
    newer = _newer(model, before, opset) if before > opset else []
    if newer:
        notes.append(
            f"Its operators {', '.join(newer)} are newer than opset {opset}, which is what "
            f"{RUNTIME}, reads: take a newer Triton, or '--triton-backend python'."
        )
    elif before > opset:
        notes.append(
            f"Opset {before} is written as {opset}, since none of its operators changed in "
            f"between, so that {RUNTIME}, reads it."
        )
        for one in _standard(model):
            one.version = min(one.version, opset)
    if model.ir_version > ir_version and not newer:
        notes.append(f"IR version {model.ir_version} is written as {ir_version}, likewise.")
        model.ir_version = ir_version
    changed = not newer and bool(notes)
    own = sorted({node.op_type for node in model.graph.node if node.domain == _OWN})
    if own:
        notes.append(
            f"{', '.join(own)} are ONNX Runtime's own operators, which not every Triton has: "
            "try it there, or take '--triton-backend python'."
        )
    return Readable(model.SerializeToString() if changed else data, tuple(notes))


def _standard(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """Where a file says which version of the standard operators it means."""
    said = [*model.opset_import]
    for function in model.functions:
        said += function.opset_import
    return [one for one in said if one.domain in _STANDARD]


def _newer(model: onnx.ModelProto, version: int, opset: int) -> list[str]:
    """The standard operators of a file that changed after an opset, each with when it did."""
    pending, found = [*model.graph.node], set()
    for function in model.functions:
        pending += function.node
    while pending:
        node = pending.pop()
        if node.domain in _STANDARD:
            since = defs.get_schema(node.op_type, version).since_version
            if since > opset:
                found.add(f"{node.op_type} ({since})")
        for attribute in node.attribute:
            inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            pending += [one for graph in inner for one in graph.node]
    return sorted(found)

"""What computes a value, as a digest: equal digests, equal numbers for equal inputs.

A value's digest covers its operator with all attributes, and the digests of what enters it, back to
the graph's inputs and weights. Names do not count, nor does what else the graph computes: so two
graphs that share their first layers share these layers' digests.
"""

from __future__ import annotations

import hashlib

import onnx_ir as ir
from google.protobuf.message import Message


def value_digests(model: ir.Model) -> dict[ir.Value, bytes]:
    """The SHA-256 of what computes each value of a graph.

    Args:
        model: A graph whose nodes stand in the order in which they can run.
    """
    graph = model.graph
    functions = [_of_proto(ir.to_proto(function)) for function in model.functions.values()]
    base = _digest(repr(sorted(graph.opset_imports.items())).encode(), *functions)
    found: dict[ir.Value, bytes] = {}
    for value in graph.inputs:
        found[value] = _digest(f"input {value.name} {value.dtype} {value.shape}".encode())
    for value in graph.initializers.values():
        tensor = value.const_value
        assert tensor is not None
        found[value] = _digest(f"{tensor.dtype} {tensor.shape}".encode(), tensor.tobytes())
    for node in graph:
        whole = [base, node.domain.encode(), node.op_type.encode()]
        attributes = [node.attributes[name] for name in sorted(node.attributes)]
        whole += [_of_proto(ir.to_proto(attribute)) for attribute in attributes]
        if any(one.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for one in attributes):
            # A graph within sees all that was computed before it, by name.
            whole += [_digest(str(value.name).encode(), digest) for value, digest in found.items()]
        whole += [b"" if value is None else found[value] for value in node.inputs]
        together = _digest(*whole)
        for at, value in enumerate(node.outputs):
            found[value] = _digest(together, str(at).encode())
    return found


def _of_proto(proto: Message) -> bytes:
    return proto.SerializeToString(deterministic=True)


def _digest(*parts: bytes) -> bytes:
    """SHA-256 over parts, each with its length, so that no two lists of parts look alike."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.digest()

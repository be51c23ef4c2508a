"""Which whole numbers the inputs of a graph take: those that its tables have rows for.

An ``nn.Embedding`` of N rows is a ``Gather`` of a table with an axis of length N. What reaches its
indices from an input unchanged must lie in 0 to N - 1: PyTorch refuses anything else, some
runtimes answer with garbage. An indexed tensor, ``table[ids]``, is a ``GatherND``, which counts
from the end as well: -N to N - 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from lrn_deploy.bundle import IntegerValues, TensorSpec

ASSUMED = (0, 9)
"""Of an input that reaches no table and that nobody gave an example of."""
_ANY = frozenset({"bool", "int8", "uint8"})
"""Types with so few values that all of them are tried."""
_TABLES = {"Gather": "axis", "GatherND": "batch_dims"}
"""Operators that look up their second input in their first, and the attribute of the axis."""
_SAME_VALUES = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Tile", "Transpose", "Unsqueeze"}
)
"""Operators that move the elements of their first input, or of all, and change none."""


def with_values(value: ir.Value, spec: TensorSpec, known: Sequence[TensorSpec]) -> TensorSpec:
    """The spec of a graph's input with the integers that it takes.

    Args:
        value: The graph's input.
        spec: Its spec.
        known: What the network says of its inputs.
    """
    if not _is_integer(value):
        return spec
    tables = list(_tables(value))
    told = next((own.values for own in known if own.name == spec.name), None)
    if tables:
        low, high = max(low for low, _ in tables), min(high for _, high in tables)
        found = IntegerValues(low=low, high=high, source="table")
    elif told is not None:
        found = told
    elif spec.dtype in _ANY:
        return spec
    else:
        found = IntegerValues(low=ASSUMED[0], high=ASSUMED[1], source="assumed")
    return spec.model_copy(update={"values": found})


def _tables(value: ir.Value) -> Iterator[tuple[int, int]]:
    """First and last index of the axes that the elements of ``value`` are indices into."""
    seen: set[ir.Value] = set()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for node, at in current.uses():
            if node.op_type in _TABLES and at == 1:
                rows = _rows(node)
                if rows is not None:
                    yield (0 if node.op_type == "Gather" else -rows), rows - 1
            elif _keeps(node, at):
                waiting.extend(node.outputs)


def _keeps(node: ir.Node, at: int) -> bool:
    """Whether a node hands on what its input ``at`` holds, as integers."""
    if node.op_type == "Cast":
        return _is_integer(node.outputs[0])
    return node.op_type in _SAME_VALUES and (at == 0 or node.op_type == "Concat")


def _rows(node: ir.Node) -> int | None:
    """Length of the axis of the table; None if it is not known, or there are several."""
    table, indices = node.inputs[:2]
    if table is None or indices is None or table.shape is None or indices.shape is None:
        return None
    if node.op_type == "GatherND" and indices.shape[-1] != 1:
        return None
    attribute = node.attributes.get(_TABLES[node.op_type])
    length = table.shape[attribute.as_int() if attribute is not None else 0]
    return length if isinstance(length, int) else None


def _is_integer(value: ir.Value) -> bool:
    return value.dtype is not None and np.issubdtype(value.dtype.numpy(), np.integer)

"""Networks in half, brain or double precision made float32, in which every bundle is.

Half precision is widened wherever it stands, also where only the inside of a network is in it, and
no weight changes its value. Double precision is narrowed where a network is in it, and left where
an exporter computes sizes in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.operators import every_node
from lrn_deploy.onnx_files.reading import Array, OnnxFile

_NAMES = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "float64",
}
_TYPES = {onnx.helper.tensor_dtype_to_np_dtype(kind): kind for kind in _NAMES}
_TYPE_ATTRIBUTES = ("to", "dtype", "output_datatype", "softmax_precision")
"""Attributes that name a type; the first was a word up to opset 5."""


def as_float32(file: OnnxFile) -> OnnxFile:
    """A file whose floating-point numbers are all of float32.

    Args:
        file: The file; its message is changed in place.

    Returns:
        The file with its weights in float32, and in ``types`` what they were in.

    Raises:
        BadInputError: If a number of double precision is too large for float32.
    """
    graph = file.model.graph
    graphs = [graph, *_inner(graph)]
    found = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    found |= {_type_of(values) for values in file.weights.values()}
    half = found | {tensor.data_type for tensor in _tensors(graphs)} | set(_named(graphs))
    types = {kind for kind in _NAMES if kind in (found if kind == TensorProto.DOUBLE else half)}
    if not types:
        return file
    for inner in graphs:
        for value in (*inner.input, *inner.output, *inner.value_info):
            if value.type.tensor_type.elem_type in types:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in _tensors(graphs):
        if tensor.data_type in types:
            values = _narrowed(_values(tensor), tensor.name)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for attribute in _type_attributes(graphs):
        if _named_by(attribute) in types:
            attribute.i, attribute.s = TensorProto.FLOAT, b"FLOAT" if attribute.s else b""
    weights = {
        name: _narrowed(values, name) if _type_of(values) in types else values
        for name, values in file.weights.items()
    }
    return replace(
        file, weights=weights, types=" and ".join(_NAMES[kind] for kind in sorted(types))
    )


def _narrowed(values: Array, name: str) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
    lost = np.isinf(narrow) & np.isfinite(values.astype(np.float64))
    if lost.any():
        raise BadInputError(
            f"'{name}' holds {values[lost].flat[0]:.3g}, which is too large for float32, in which "
            "networks are imported.",
            "Export the network in float32.",
        )
    return narrow


def _values(tensor: TensorProto) -> Array:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # what of it is no tensor of ONNX's
        raise BadInputError(
            f"The values of '{tensor.name}' are damaged.", "Fetch or export the file again."
        ) from error


def _type_of(values: Array) -> int:
    return _TYPES.get(values.dtype, TensorProto.UNDEFINED)


def _inner(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a graph's nodes."""
    for node in every_node(graph.node):
        for attribute in node.attribute:
            yield from (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)


def _tensors(graphs: Collection[onnx.GraphProto]) -> Iterator[TensorProto]:
    """The small initialisers, and what stands in attributes."""
    for graph in graphs:
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)


def _type_attributes(graphs: Collection[onnx.GraphProto]) -> Iterator[onnx.AttributeProto]:
    for graph in graphs:
        for node in graph.node:
            yield from (known for known in node.attribute if known.name in _TYPE_ATTRIBUTES)


def _named(graphs: Collection[onnx.GraphProto]) -> Iterator[int]:
    """The types that nodes name, of the results of Casts for instance."""
    return (_named_by(attribute) for attribute in _type_attributes(graphs))


def _named_by(attribute: onnx.AttributeProto) -> int:
    word = attribute.s.decode(errors="replace")
    known: dict[str, int] = dict(TensorProto.DataType.items())
    return known.get(word, attribute.i)

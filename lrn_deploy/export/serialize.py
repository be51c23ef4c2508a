"""Serialize an ONNX model with one copy of its weights instead of three.

``ModelProto.SerializeToString`` first wants every weight copied into a message and then copies the
message; with a quarter of a gigabyte of weights that takes longer than making the graph. Here the
graph without its large weights becomes a message, and the weights' own bytes are joined to it in
protobuf's wire format (https://protobuf.dev/programming-guides/encoding/): each field is its number
and wire type, its length, its bytes, and fields of a message may come in any order.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnx_ir as ir

_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_INITIALIZER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
_RAW_DATA = onnx.TensorProto.RAW_DATA_FIELD_NUMBER
_LENGTH_DELIMITED = 2

Part = bytes | memoryview


def serialize(skeleton: onnx.ModelProto, weights: dict[str, ir.TensorProtocol]) -> bytes:
    """The bytes of ``skeleton`` with ``weights`` as further initializers of its graph.

    Args:
        skeleton: A model without those weights. Its graph must not be empty.
        weights: By name; of a type that numpy holds in whole bytes.

    Returns:
        What ``onnx.load_from_string`` reads as one model.
    """
    return b"".join(parts(skeleton, weights))


def parts(skeleton: onnx.ModelProto, weights: dict[str, ir.TensorProtocol]) -> list[Part]:
    """The same bytes in parts, the weights' own among them: nothing large is copied."""
    tensors: list[Part] = []
    for name, tensor in weights.items():
        tensors += _initializer(name, tensor)
    graph = skeleton.graph.SerializeToString()
    size = len(graph) + sum(len(part) for part in tensors)
    rest = onnx.ModelProto()
    rest.CopyFrom(skeleton)
    rest.ClearField("graph")
    return [rest.SerializeToString(), _head(_GRAPH, size), graph, *tensors]


def _initializer(name: str, tensor: ir.TensorProtocol) -> list[Part]:
    array = np.asarray(tensor.numpy())
    if sys.byteorder == "big":
        array = array.byteswap()  # ONNX's raw data is little-endian
    data = array.reshape(-1).view(np.uint8).data
    about = onnx.TensorProto(name=name, data_type=tensor.dtype.value, dims=array.shape)
    head = about.SerializeToString() + _head(_RAW_DATA, len(data))
    return [_head(_INITIALIZER, len(head) + len(data)), head, data]


def _head(field: int, length: int) -> bytes:
    """Number, wire type and length of a field that holds bytes."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

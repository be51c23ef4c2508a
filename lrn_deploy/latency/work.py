"""What an ONNX graph has to do: multiply-adds and weights of each layer, read from the graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper, shape_inference

_FOUR_BITS: tuple[int, ...] = (TensorProto.INT4, TensorProto.UINT4)
_EIGHT_BITS: tuple[int, ...] = (TensorProto.INT8, TensorProto.UINT8)
_KINDS: dict[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.DOUBLE: "fp64",
}
_SMALL = 1024
"""Initializers of fewer bytes may be shapes, which shape inference has to see."""
_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")
_PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm")
_DEQUANTIZE = "DequantizeLinear"


@dataclass(frozen=True)
class NodeWork:
    """The work of one layer.

    Attributes:
        name: The node's name, or its output's.
        op: Its operator.
        macs: Multiply-adds for one item of a batch.
        weight_bytes: Bytes of constants that it reads.
        kind: Element type of the arithmetic: ``fp32``, ``int8`` and so on.
    """

    name: str
    op: str
    macs: int
    weight_bytes: int
    kind: str


def graph_work(data: bytes) -> tuple[NodeWork, ...]:
    """The convolutions and matrix products by constants of a graph.

    Counts a multiply and its add as one, and no others: biases, LRN nodes and pooling are free.

    Args:
        data: A serialised ONNX model; a dynamic axis is counted as 1.
    """
    model = onnx.load_model_from_string(data)
    constants = {
        tensor.name: (tuple(tensor.dims), tensor.data_type) for tensor in model.graph.initializer
    }
    makers = {name: node for node in model.graph.node for name in node.output}
    shapes = _shapes(model)
    work = []
    for node in model.graph.node:
        found = _node_work(node, constants, makers, shapes)
        if found is not None:
            work.append(found)
    return tuple(work)


Constants = dict[str, tuple[tuple[int, ...], int]]


def _node_work(
    node: onnx.NodeProto,
    constants: Constants,
    makers: dict[str, onnx.NodeProto],
    shapes: dict[str, tuple[int, ...]],
) -> NodeWork | None:
    name = node.name or node.output[0]
    if node.op_type == "MatMulNBits":  # com.microsoft: blockwise quantized weights of (N, K)
        fields = {attribute.name: attribute.i for attribute in node.attribute}
        sizes = (constants[part] for part in node.input[1:] if part in constants)
        size = sum(_bytes(*part) for part in sizes)
        rows = math.prod(shapes.get(node.input[0], (1,))[:-1])
        return NodeWork(name, node.op_type, rows * fields["K"] * fields["N"], size, "int8")
    if node.op_type not in (*_CONVOLUTIONS, *_PRODUCTS):
        return None
    source = node.input[3 if node.op_type.startswith("QLinear") else 1]
    weight = _constant(source, constants, makers)
    output = shapes.get(node.output[0])
    if weight is None or output is None:
        return None
    dims, dtype = weight
    if node.op_type in _CONVOLUTIONS:
        inner = math.prod(dims[1:])
    else:
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        inner = dims[-1] if transposed else dims[-2]
    kind = "int8" if dtype in (*_FOUR_BITS, *_EIGHT_BITS) else _KINDS.get(dtype, "other")
    return NodeWork(name, node.op_type, math.prod(output) * inner, _bytes(dims, dtype), kind)


def _constant(
    name: str, constants: Constants, makers: dict[str, onnx.NodeProto]
) -> tuple[tuple[int, ...], int] | None:
    """Shape and element type of a constant as it is stored, before any dequantization."""
    while name not in constants:
        node = makers.get(name)
        if node is None or node.op_type not in (_DEQUANTIZE, "Cast", "Identity"):
            return None
        name = node.input[0]
    return constants[name]


def _bytes(dims: tuple[int, ...], dtype: int) -> int:
    count = math.prod(dims)
    if dtype in _FOUR_BITS:
        return (count + 1) // 2
    return count * int(helper.tensor_dtype_to_np_dtype(dtype).itemsize)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of every value with dynamic axes as 1, by ONNX's inference. Changes ``model``."""
    graph = model.graph
    for value in graph.input:
        for axis in value.type.tensor_type.shape.dim:
            if not axis.HasField("dim_value"):
                axis.dim_value = 1
    for value in graph.output:  # their dynamic axes would contradict the 1 of the inputs
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    # Weights become inputs: inference copies the model, and needs their shapes only.
    named = {value.name for value in graph.input}
    small = []
    for tensor in graph.initializer:
        if _bytes(tuple(tensor.dims), tensor.data_type) <= _SMALL:
            small.append(tensor)
        elif tensor.name not in named:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in small]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if value.type.tensor_type.HasField("shape")
        and all(axis.HasField("dim_value") for axis in value.type.tensor_type.shape.dim)
    }

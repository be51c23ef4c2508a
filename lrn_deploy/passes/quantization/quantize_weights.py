"""Pass ``quantize_weights``: 8- or 4-bit weights, in blocks, for large fully connected layers.

Before::

    x -> Gemm(., weight, bias) -> y

After::

    x -> com.microsoft.MatMulNBits(., packed weight, scales, zero points) -> Add(bias) -> y

At batch 1 such a layer takes as long as reading its weights, and these are a quarter or an eighth.
Each row of weights is cut into blocks, and each block has its own step and zero point, so that its
range reaches from its smallest to its largest weight. Given calibration inputs, biases are
corrected (:mod:`lrn_deploy.passes.quantization.bias_correction`).

The operator is ONNX Runtime's own; OpenVINO reads it too, at the same speed as DequantizeLinear in
blocks, which ONNX Runtime undoes anew in each run. Run ``quantize`` afterwards for int8
convolutions: it leaves what is no Gemm any more alone.

AlexNet's relative L2 error on photographs, without and with corrected biases, by blocks of 32::

    8 bits                        1.0e-2     7.7e-3
    4 bits                        1.4e-1     4.6e-2
    8 bits, int8 convolutions     1.7e-2     1.6e-2
    4 bits, int8 convolutions     1.4e-1     4.7e-2

Its time, in ms an image at batch 1 and 8 on 2 cores, lower quartiles, each column interleaved::

                                  OpenVINO       ONNX Runtime
    fp32                          11.2   5.5
    8 bits, blocks of 128          6.6   4.9
    4 bits, blocks of 32           6.0   4.8
    int8 in all layers             2.8   1.6      5.7   4.5
    int8 and 8 bits, of 128        3.3   1.8      5.6   4.5
    int8 and 4 bits, of 32         2.6   1.7      5.7   4.1

So int8 in all layers is as fast wherever the convolutions can be int8. ONNX Runtime at the accuracy
level 0 took twelve times as long as at 4.

Requires: opset 18 or newer, weights as constant fp32 matrices; other layers are left alone, and the
result says why. Ensures: the names of x and y are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.prepare import prepare
from lrn_deploy.passes.quantization.bias_correction import correct_biases
from lrn_deploy.passes.quantization.observe import Evaluate, initializer
from lrn_deploy.passes.quantization.qdq import array_of, check_finite, drop_unused, input_of

Bits = Literal[4, 8]

DOMAIN = "com.microsoft"
BLOCKS = (16, 32, 64, 128, 256)
"""Block sizes that the operator takes."""
MIN_WEIGHTS = 2**20
"""A layer of fewer weights is left alone: 4 MB in fp32 are read from the caches."""
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class WeightsQuantized:
    """What became of one fully connected layer.

    Attributes:
        node: Its name.
        bits: Bits of each weight; None if it was left alone.
        reason: Why it was left alone; empty if it was not.
    """

    node: str
    bits: Bits | None
    reason: str


@dataclass(frozen=True)
class _Options:
    bits: Bits
    block: int
    accuracy_level: int


@dataclass(frozen=True)
class Blocks:
    """Rounded weights: ``weight = (integers - zero) * scale``, block by block along a row.

    Attributes:
        integers: uint8, shape (rows, blocks, block size); the last block ends in padding.
        scale: float32, shape (rows, blocks).
        zero: uint8, shape (rows, blocks).
        columns: Number of columns without the padding.
    """

    integers: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero: NDArray[np.uint8]
    columns: int

    def weight(self) -> NDArray[np.float64]:
        """The rounded weights, of shape (rows, columns)."""
        whole = self.integers.astype(np.float64) - self.zero[..., None]
        flat = (whole * self.scale[..., None]).reshape(len(self.integers), -1)
        return flat[:, : self.columns]


def round_in_blocks(weight: NDArray[np.float32], bits: Bits, block: int) -> Blocks:
    """Round a matrix to integers of ``bits`` bits from the smallest to the largest of each block.

    Args:
        weight: Shape (rows, columns), finite.
        bits: Bits of an integer.
        block: Number of weights in a row that share a scale and a zero point.
    """
    rows, columns = weight.shape
    count = -(-columns // block)
    blocks = np.zeros((rows, count * block), np.float32)
    blocks[:, :columns] = weight
    blocks = blocks.reshape(rows, count, block)
    levels = 2**bits - 1
    low = np.minimum(blocks.min(axis=2), 0)
    high = np.maximum(blocks.max(axis=2), 0)
    scale = np.maximum(high / levels - low / levels, _SMALLEST_SCALE).astype(np.float32)
    zero = np.clip(np.rint(-low / scale), 0, levels)
    blocks /= scale[..., None]
    np.rint(blocks, out=blocks)
    blocks += zero[..., None]
    np.clip(blocks, 0, levels, out=blocks)
    return Blocks(blocks.astype(np.uint8), scale, zero.astype(np.uint8), columns)


def quantize_weights(
    model: ir.Model,
    evaluate: Evaluate | None = None,
    *,
    bits: Bits = 8,
    block: int = 32,
    accuracy_level: int = 4,
    min_weights: int = MIN_WEIGHTS,
) -> list[WeightsQuantized]:
    """Quantize the weights of large Gemm and MatMul nodes in place; see the module's docstring.

    Args:
        model: Changed in place. Its subgraphs and functions are not searched.
        evaluate: Runs graphs on calibration inputs, to correct the biases; it is called once.
        bits: 8 or 4.
        block: Number of weights that share a scale and a zero point, one of :data:`BLOCKS`.
        accuracy_level: What ONNX Runtime multiplies in: 4 rounds activations to int8, block by
            block; 1 computes in fp32.
        min_weights: Layers of fewer weights are left alone.

    Returns:
        What became of each Gemm and MatMul, in graph order.

    Raises:
        BadInputError: If a weight is not finite, there is no such block size, or a value's type
            is unknown.
    """
    if block not in BLOCKS:
        raise BadInputError(
            f"Weights cannot share a scale in blocks of {block}.",
            f"Choose one of {', '.join(map(str, BLOCKS))}.",
        )
    prepare(model)
    graph, options = model.graph, _Options(bits, block, accuracy_level)
    nodes = [node for node in graph if not node.domain and node.op_type in ("Gemm", "MatMul")]
    reasons = {node: _reason_to_leave(node, min_weights) for node in nodes}
    chosen = [node for node in nodes if not reasons[node]]
    if chosen:
        graph.opset_imports[DOMAIN] = 1
        rounded = {
            str(node.outputs[0].name): round_in_blocks(_rows(node), bits, block) for node in chosen
        }
        if evaluate is not None:

            def add_quantized(copy: ir.Graph, node: ir.Node) -> ir.Value:
                new, result = _product(copy, node, rounded[_name(node)], options)
                copy.extend(new)
                result.name = f"{node.outputs[0].name}_twin"
                return result

            correct_biases(model, chosen, add_quantized, evaluate)
        for node in chosen:
            _replace(graph, node, rounded[_name(node)], options)
    return [
        WeightsQuantized(str(node.name), None if reason else bits, reason)
        for node, reason in reasons.items()
    ]


def _replace(graph: ir.Graph, node: ir.Node, rounded: Blocks, options: _Options) -> None:
    weight, y = input_of(node, 1), node.outputs[0]
    new, result = _product(graph, node, rounded, options)
    for added in new:
        added.metadata_props.update(node.metadata_props)
    ir.convenience.replace_nodes_and_values(graph, node, [node], new, [y], [result])
    drop_unused(graph, weight)


def _reason_to_leave(node: ir.Node, min_weights: int) -> str:
    """Why a product's weights are not quantized; empty if they can be."""
    x, weight = input_of(node, 0), input_of(node, 1)
    if weight.const_value is None:
        return "its weights are not constant"
    if weight.dtype != ir.DataType.FLOAT:
        return f"its weights are {weight.dtype}, and only FLOAT is quantized"
    shape = list(weight.const_value.shape)
    if len(shape) != 2:
        return f"its weights have rank {len(shape)}, and only matrices are quantized"
    if weight.const_value.size < min_weights:
        return f"it has {weight.const_value.size} weights, fewer than {min_weights}"
    if x.shape is None or len(x.shape) < 2:
        return "its input is no matrix"
    if node.op_type == "Gemm":
        if node.attributes.get_int("transA", 0):
            return "its input is transposed"
        factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
        if factors != [1.0, 1.0]:
            return f"its alpha and beta are {factors[0]:g} and {factors[1]:g}, and not 1"
    return ""


def _name(node: ir.Node) -> str:
    """What a node computes, which stays when the graph is copied."""
    return str(node.outputs[0].name)


def _rows(node: ir.Node) -> NDArray[np.float32]:
    """A node's weights with one row for each output."""
    weight = input_of(node, 1)
    check_finite(weight)
    values = array_of(weight)
    return values if node.attributes.get_int("transB", 0) else np.ascontiguousarray(values.T)


def _product(
    graph: ir.Graph, node: ir.Node, rounded: Blocks, options: _Options
) -> tuple[list[ir.Node], ir.Value]:
    """The nodes that take a node's place, and what they compute; they are not in the graph yet."""
    y, name = node.outputs[0], _name(node)
    product = ir.node(
        "MatMulNBits",
        [
            input_of(node, 0),
            initializer(graph, f"{name}_packed", _packed(rounded.integers, options.bits)),
            initializer(graph, f"{name}_scales", rounded.scale.reshape(-1)),
            initializer(
                graph, f"{name}_zero_points", _packed(rounded.zero, options.bits).reshape(-1)
            ),
        ],
        {
            "K": rounded.columns,
            "N": len(rounded.integers),
            "bits": options.bits,
            "block_size": options.block,
            "accuracy_level": options.accuracy_level,
        },
        domain=DOMAIN,
        name=f"{name}_product",
    )
    result, bias = product.outputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return [product], result
    result.name, result.shape, result.type = f"{y.name}_product", y.shape, y.type
    add = ir.node("Add", [result, bias], name=f"{name}_bias")
    return [product, add], add.outputs[0]


def _packed(integers: NDArray[np.uint8], bits: Bits) -> NDArray[np.uint8]:
    """8-bit integers as they are; 4-bit ones two to a byte along the last axis, the first low."""
    if bits == 8:
        return integers
    if integers.shape[-1] % 2:
        integers = np.pad(integers, [(0, 0)] * (integers.ndim - 1) + [(0, 1)])
    return (integers[..., 0::2] | integers[..., 1::2] << 4).astype(np.uint8)

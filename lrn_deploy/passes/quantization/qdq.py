"""Q/DQ pairs: how a graph says that a value passes through 8 bits.

A pair rounds an fp32 value to integers and turns them back: ``QuantizeLinear -> DequantizeLinear``.
Runtimes compute an operator in int8 where pairs stand at all its inputs, and at its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.quantization.observe import Array, Range, initializer

Activations = Literal["int8", "uint8"]

_WEIGHT_LEVELS = 127
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Scale:
    """``q = round(x / scale) + zero``; both scalars, or of shape (channels,)."""

    scale: Array
    zero: Array


def activation_scale(seen: Range, activations: Activations) -> Scale:
    """The scale of a tensor whose values are in the range ``seen``; zero is exact."""
    low, high = min(seen[0], 0.0), max(seen[1], 0.0)
    if activations == "int8":
        scale, zero = max(-low, high) / 127, np.array(0, np.int8)
    else:
        scale = (high - low) / 255
        zero = np.array(round(-low / scale) if scale else 0, np.uint8)
    return Scale(np.array(max(scale, _SMALLEST_SCALE), np.float32), zero)


class Pairs:
    """Q/DQ pairs of a graph: one for each value, however many nodes take it.

    Args:
        graph: The graph.
        scales: The scale of each activation, by its name.
    """

    def __init__(self, graph: ir.Graph, scales: dict[str, Scale]) -> None:
        self.graph = graph
        self.scales = scales
        self.made: dict[tuple[str, int], ir.Value] = {}

    def before(self, node: ir.Node) -> tuple[ir.Value, ir.Value]:
        """The dequantized activation and weight for ``node``, made before it if need be."""
        x, weight = input_of(node, 0), input_of(node, 1)
        axis = weight_axis(node)
        key = (str(x.name), -1)
        if key not in self.made:
            pair, self.made[key] = self._activation(x)
            self.graph.insert_before(node, pair)
        weight_key = (str(weight.name), axis)
        if weight_key not in self.made:
            dequantize, self.made[weight_key] = self._weight(weight, axis)
            self.graph.insert_before(node, dequantize)
        return self.made[key], self.made[weight_key]

    def behind(self, x: ir.Value) -> None:
        """Let all that takes ``x`` take it dequantized, under its old name."""
        producer, uses = x.producer(), list(x.uses())
        assert producer is not None
        name = str(x.name)
        pair, value = self._activation(x)
        for node, index in uses:
            node.replace_input_with(index, value)
        self.graph.insert_after(producer, pair)
        x.name, value.name = f"{name}_exact", name
        self.made[name, -1] = value

    def integer_bias(self, node: ir.Node) -> None:
        """Let a node between pairs take its bias from int32, in steps of the products.

        A bias that the graph computes, or that is too large for int32, is left alone.
        """
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if bias is None or bias.const_value is None or array_of(bias).ndim != 1:
            return
        scale = (_scale_of(node, 0) * _scale_of(node, 1)).astype(np.float32)
        with np.errstate(over="ignore"):
            q = np.rint(array_of(bias).astype(np.float64) / scale)
        name, limits = f"{node.outputs[0].name}_bias", np.iinfo(np.int32)
        if q.shape != scale.shape or not (limits.min <= q.min() and q.max() <= limits.max):
            return
        zero = np.zeros(scale.shape, np.int32)
        value = initializer(self.graph, f"{name}_quantized", q.astype(np.int32))
        dequantize, value = _dequantize(
            name, value, self._parameters(name, Scale(scale, zero)), axis=0
        )
        self.graph.insert_before(node, dequantize)
        node.replace_input_with(2, value)
        drop_unused(self.graph, bias)

    def _activation(self, x: ir.Value) -> tuple[list[ir.Node], ir.Value]:
        name = str(x.name)
        parameters = self._parameters(name, self.scales[name])
        quantize_x = ir.node("QuantizeLinear", [x, *parameters], name=f"quantize_{name}")
        q = quantize_x.outputs[0]
        q.name, q.shape = f"{name}_quantized", x.shape
        q.type = ir.TensorType(ir.DataType.from_numpy(self.scales[name].zero.dtype))
        dequantize, value = _dequantize(name, q, parameters)
        return [quantize_x, dequantize], value

    def _weight(self, weight: ir.Value, axis: int) -> tuple[ir.Node, ir.Value]:
        name, values = str(weight.name), array_of(weight)
        check_finite(weight)
        largest = np.abs(values).max(axis=tuple(at for at in range(values.ndim) if at != axis))
        scale = np.maximum(largest / _WEIGHT_LEVELS, _SMALLEST_SCALE).astype(np.float32)
        by_channel = scale.reshape([-1 if at == axis else 1 for at in range(values.ndim)])
        q = np.clip(np.rint(values / by_channel), -_WEIGHT_LEVELS, _WEIGHT_LEVELS).astype(np.int8)
        if axis:
            name = f"{name}_axis{axis}"  # shared with a node that has its channels elsewhere
        parameters = self._parameters(name, Scale(scale, np.zeros(scale.shape, np.int8)))
        value = initializer(self.graph, f"{name}_quantized", q)
        return _dequantize(name, value, parameters, axis=axis)

    def _parameters(self, name: str, scale: Scale) -> list[ir.Value]:
        return [
            initializer(self.graph, f"{name}_scale", scale.scale),
            initializer(self.graph, f"{name}_zero_point", scale.zero),
        ]


def _dequantize(
    name: str, q: ir.Value, parameters: Sequence[ir.Value], **attributes: int
) -> tuple[ir.Node, ir.Value]:
    node = ir.node("DequantizeLinear", [q, *parameters], attributes, name=f"dequantize_{name}")
    value = node.outputs[0]
    value.name, value.shape = f"{name}_dequantized", q.shape
    value.type = ir.TensorType(ir.DataType.FLOAT)
    return node, value


def _scale_of(node: ir.Node, index: int) -> Array:
    """The scale of an input that is dequantized."""
    dequantize = input_of(node, index).producer()
    assert dequantize is not None
    return array_of(input_of(dequantize, 1))


def weight_axis(node: ir.Node) -> int:
    """Axis of the output channels in the weight of a Conv, Gemm or MatMul."""
    transposed = node.op_type == "Gemm" and node.attributes.get_int("transB", False)
    return 0 if node.op_type == "Conv" or transposed else 1


def check_finite(weight: ir.Value) -> None:
    """Refuse a weight that no integers can stand for.

    Raises:
        BadInputError: If it holds a NaN or an infinity.
    """
    if not np.isfinite(array_of(weight)).all():
        raise BadInputError(f"The weight '{weight.name}' is not finite, so it cannot be quantized.")


def drop_unused(graph: ir.Graph, value: ir.Value) -> None:
    """Remove an initializer that nothing takes any more."""
    if not value.uses() and not value.is_graph_output():
        graph.initializers.pop(str(value.name), None)


def input_of(node: ir.Node, index: int) -> ir.Value:
    """An input that the node must have."""
    value = node.inputs[index]
    assert value is not None
    return value


def array_of(value: ir.Value) -> Array:
    """The numbers of a constant."""
    assert value.const_value is not None
    return value.const_value.numpy()

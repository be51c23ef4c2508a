"""Pass ``quantize``: int8 convolutions and fully connected layers, in the Q/DQ format.

Before::

    x -> Conv(., weight, bias) -> Relu -> LRN -> MaxPool -> y

After (``QDQ`` is QuantizeLinear -> DequantizeLinear)::

    x -> QDQ -> Conv(., ., bias) -> Relu -> LRN -> MaxPool -> y
    int8 weight -> DequantizeLinear -^

or, with ``outputs``::

    x -> QDQ -> Conv(., ., bias) -> Relu -> QDQ -> LRN -> MaxPool -> y
    int8 weight -> DequantizeLinear -^

What enters a Conv, Gemm or MatMul with constant weights is quantized; the runtimes move the pairs
over pools and ReLUs where that pays. Everything else stays in fp32: every LRN layer, the outputs,
and the biases, since TensorRT's parser refuses an int32 bias behind a DequantizeLinear.

- Weights: symmetric int8, -127 to 127, one scale for each output channel.
- Activations, one scale for each tensor: symmetric int8, as TensorRT demands, or uint8 with a zero
  point, which gives what comes out of a ReLU twice as many steps.
- The range of an activation is from the smallest to the largest value of the calibration. On
  AlexNet that gave a relative L2 error of 3.0e-2 before the biases were corrected, as did the
  entropy method; the percentiles 99.9, 99.99 and 99.999 gave 4.5e-2, 3.0e-2 and 3.0e-2. The pixels
  of a uint8 image are from 0 to 255 whatever the calibration saw; in uint8 they lose nothing.
- Biases are corrected (:mod:`lrn_deploy.passes.quantization.bias_correction`).
- ``outputs``: ONNX Runtime's CPU computes a Conv in int8 only if its result is quantized, too, and
  a Gemm that ends in fp32 only if its bias is int32. So a Conv's result that goes on in fp32 gets a
  pair, and such a Gemm an int32 bias. GoogLeNet has 57 int8 convolutions with it, 19 without.

AlexNet, ms an image at batch 1 and 8 on 2 cores, lower quartiles of one interleaved run: ONNX
Runtime 7.7 and 6.0, with ``outputs`` 3.7 and 3.3; OpenVINO, in fp32 or bf16 elsewhere, 2.8 and 1.7
with or without. The relative L2 error on photographs is 1.6e-2 in each.

Requires: opset 18 or newer. Ensures: names of all values are kept; where a result gets a pair,
what leaves the pair has its name, and what enters it the name with ``_exact``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.lrn.lrn_blocks import Bounds, find_lrn_nodes
from lrn_deploy.passes.prepare import prepare
from lrn_deploy.passes.quantization.bias_correction import correct_biases
from lrn_deploy.passes.quantization.observe import (
    Evaluate,
    Range,
    observe_ranges,
)
from lrn_deploy.passes.quantization.qdq import (
    Activations,
    Pairs,
    Scale,
    activation_scale,
    drop_unused,
    input_of,
)

_PIXELS: Range = (0.0, 255.0)
_MOVING = frozenset({"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
"""Operators that hand values on as they are."""
_TRANSPARENT = _MOVING | {"MaxPool", "Dropout"}
"""Operators over which runtimes move a pair."""


@dataclass(frozen=True)
class Quantized:
    """What the pass did.

    Attributes:
        nodes: Names of the nodes that compute in int8 now.
        ranges: Range of each activation that is quantized, by its name.
    """

    nodes: tuple[str, ...]
    ranges: dict[str, Range]


def quantize(
    model: ir.Model,
    evaluate: Evaluate,
    *,
    activations: Activations = "int8",
    outputs: bool = False,
    lrn_layers: Iterable[Bounds] = (),
) -> Quantized:
    """Quantize a graph; see the module's docstring.

    Args:
        model: Changed in place.
        evaluate: Runs graphs on the calibration inputs; it is called twice.
        activations: Type of the quantized activations.
        outputs: Write what ONNX Runtime's CPU needs to end a layer in int8; not for TensorRT.
        lrn_layers: The bounds of each LRN layer, whose nodes are left alone.

    Raises:
        BadInputError: If there is nothing to quantize, a weight or an activation is not finite, a
            value's type is unknown, or an LRN layer is not where it should be.
    """
    prepare(model)
    lrn = find_lrn_nodes(model.graph, lrn_layers)
    nodes = [node for node in model.graph if node not in lrn and _is_layer(node)]
    if not nodes:
        raise BadInputError(
            "The network has no convolution or fully connected layer that could be quantized."
        )
    entering = {str(input_of(node, 0).name): input_of(node, 0) for node in nodes}
    loose = [node for node in nodes if _goes_on_in_fp32(_result(node), nodes)] if outputs else []
    leaving = {
        str(_result(node).name): _result(node)
        for node in loose
        if node.op_type == "Conv" and not _result(node).is_graph_output()
    }
    names = list(dict.fromkeys([*entering, *leaving]))
    ranges = observe_ranges(model, names, evaluate)
    ranges |= {name: _PIXELS for name, value in entering.items() if _holds_pixels(value)}
    scales = {name: activation_scale(ranges[name], activations) for name in names}
    _correct_biases(model, nodes, scales, evaluate)
    pairs = Pairs(model.graph, scales)
    for value in leaving.values():
        pairs.behind(value)
    for node in nodes:
        weight = input_of(node, 1)
        for index, value in enumerate(pairs.before(node)):
            node.replace_input_with(index, value)
        drop_unused(model.graph, weight)
    for node in loose:
        if node.op_type == "Gemm":
            pairs.integer_bias(node)
    return Quantized(nodes=tuple(str(node.name) for node in nodes), ranges=ranges)


def _result(node: ir.Node) -> ir.Value:
    """What a layer computes, with the ReLU that runtimes make part of it."""
    value = node.outputs[0]
    takers = value.consumers()
    if len(takers) == 1 and takers[0].op_type == "Relu" and not value.is_graph_output():
        return takers[0].outputs[0]
    return value


def _goes_on_in_fp32(value: ir.Value, layers: Sequence[ir.Node]) -> bool:
    """Whether something takes a value that is neither a layer nor leads to layers only."""
    takers = value.consumers()
    return (
        not takers
        or value.is_graph_output()
        or any(
            node not in layers
            and (node.op_type not in _TRANSPARENT or _goes_on_in_fp32(node.outputs[0], layers))
            for node in takers
        )
    )


def _holds_pixels(value: ir.Value) -> bool:
    """Whether a value holds the numbers of a uint8 image, cast and moved around only."""
    node = value.producer()
    while node is not None and node.op_type in _MOVING:
        value = input_of(node, 0)
        node = value.producer()
    if node is None or node.op_type != "Cast":
        return False
    return input_of(node, 0).dtype == ir.DataType.UINT8


def _correct_biases(
    model: ir.Model, nodes: Sequence[ir.Node], scales: dict[str, Scale], evaluate: Evaluate
) -> None:
    pairs: dict[ir.Graph, Pairs] = {}

    def add_quantized(graph: ir.Graph, node: ir.Node) -> ir.Value:
        x, weight = pairs.setdefault(graph, Pairs(graph, scales)).before(node)
        twin = ir.node(node.op_type, [x, weight, *node.inputs[2:]], node.attributes)
        twin.outputs[0].name = f"{node.outputs[0].name}_twin"
        graph.append(twin)
        return twin.outputs[0]

    correct_biases(model, nodes, add_quantized, evaluate)


def _is_layer(node: ir.Node) -> bool:
    """Whether a node can be quantized: one fp32 activation, constant fp32 weights."""
    if node.domain or node.op_type not in ("Conv", "Gemm", "MatMul"):
        return False
    x, weight = node.inputs[0], node.inputs[1]
    if x is None or weight is None or x.const_value is not None or weight.const_value is None:
        return False
    if x.dtype != ir.DataType.FLOAT or weight.dtype != ir.DataType.FLOAT:
        return False
    if node.op_type == "Gemm":
        return not node.attributes.get_int("transA", False)
    return node.op_type == "Conv" or len(weight.const_value.shape) == 2

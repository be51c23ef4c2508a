"""Layers whose windows move over the image, in ONNX: convolution, pooling, LRN.

Caffe rounds a pooling's size up and lets its last window hang over the end by ``e = (out - 1) *
stride + kernel - size - pad``. ONNX's ``ceil_mode`` would say so and runtimes read it differently;
explicit padding they all read alike (measured with ONNX Runtime 1.32 and OpenVINO 2026.4):

- MAX: ``pads = [pad, e]``;
- AVE, whose divisor counts the padding but not what hangs over it: the padding as a ``Pad``, and
  what hangs over as an AveragePool's padding that is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from lrn_deploy.caffe.axes import Shape, padded
from lrn_deploy.caffe.graph.ops import Ops
from lrn_deploy.caffe.network import Layer
from lrn_deploy.caffe.parameters import Convolution, Lrn, Pooling


def convolution(ops: Ops, layer: Layer, inputs: Sequence[ir.Value], own: Convolution) -> ir.Value:
    """Convolution -> Conv, Deconvolution -> ConvTranspose."""
    spatial = len(layer.input_shapes[0]) - 1
    pad = padded(own.pad, spatial)
    weights = [ops.weights(layer.blobs[0])]
    if own.bias:
        weights.append(ops.weights(layer.blobs[1], "bias"))
    return ops.op(
        "ConvTranspose" if own.transposed else "Conv",
        [inputs[0], *weights],
        layer.output_shapes[0],
        {
            "kernel_shape": padded(own.kernel, spatial),
            "strides": padded(own.stride, spatial),
            "pads": (*pad, *pad),
            "dilations": padded(own.dilation, spatial),
            "group": own.group,
        },
    )


def pooling(ops: Ops, layer: Layer, inputs: Sequence[ir.Value], own: Pooling) -> ir.Value:
    """Pooling -> MaxPool, Pad and AveragePool, or a global one; see the module's docstring."""
    x, shape, made = inputs[0], layer.input_shapes[0], layer.output_shapes[0]
    if not own.kernel:
        return ops.op("GlobalMaxPool" if own.method == "MAX" else "GlobalAveragePool", [x], made)
    over = [
        (out - 1) * stride + kernel - size - pad
        for size, out, kernel, stride, pad in zip(
            shape[1:], made[1:], own.kernel, own.stride, own.pad, strict=True
        )
    ]
    attributes = {"kernel_shape": own.kernel, "strides": own.stride}
    if own.method == "MAX":
        ends = [max(e, 0) for e in over]
        return ops.op("MaxPool", [x], made, {**attributes, "pads": (*own.pad, *ends)})
    x = _zeros_around(ops, x, shape, own.pad)
    ends = [max(e - pad, 0) for e, pad in zip(over, own.pad, strict=True)]
    pads = (0, 0, *ends)
    return ops.op("AveragePool", [x], made, {**attributes, "pads": pads, "count_include_pad": 0})


def lrn(ops: Ops, layer: Layer, inputs: Sequence[ir.Value], own: Lrn) -> ir.Value:
    """LRN -> the standard operator, which divides alpha by the size as Caffe does.

    Within a channel::

        x -> Mul(x, x) -> Pad -> AveragePool(size x size) -> Mul(alpha) -> Add(1) -> Pow(beta)
          -> Div(x, .)
    """
    x, shape = inputs[0], layer.input_shapes[0]
    if own.region == "ACROSS_CHANNELS":
        attributes = {"size": own.size, "alpha": own.alpha, "beta": own.beta, "bias": own.k}
        return ops.op("LRN", [x], shape, attributes)
    side = (own.size, own.size)
    squares = _zeros_around(ops, ops.op("Mul", [x, x], shape), shape, (own.size // 2,) * 2)
    mean = ops.op("AveragePool", [squares], shape, {"kernel_shape": side, "count_include_pad": 0})
    energy = ops.op("Mul", [mean, ops.number(own.alpha, "alpha")], shape)
    base = ops.op("Add", [energy, ops.number(own.k, "k")], shape)
    power = ops.op("Pow", [base, ops.number(own.beta, "beta")], shape)
    return ops.op("Div", [x, power], shape)


def _zeros_around(ops: Ops, x: ir.Value, shape: Shape, pad: tuple[int, ...]) -> ir.Value:
    """``x`` with zeros on each side of its planes."""
    if not any(pad):
        return x
    channels, height, width = shape
    wide = (channels, height + 2 * pad[0], width + 2 * pad[1])
    return ops.op("Pad", [x, ops.integers([0, 0, *pad, 0, 0, *pad], "pads")], wide)

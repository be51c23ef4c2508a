"""A Caffe network -> an ONNX graph: fp32, standard operators, LRN whole, any batch."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir
from onnx_ir import tape as ir_tape

from lrn_deploy.caffe.axes import own_axis
from lrn_deploy.caffe.graph import layers, windows
from lrn_deploy.caffe.graph.ops import BATCH, Ops
from lrn_deploy.caffe.network import CaffeNetwork, Layer
from lrn_deploy.caffe.parameters import (
    Affine,
    ArgMax,
    BatchNorm,
    Concat,
    Convolution,
    Crop,
    Eltwise,
    Flatten,
    Identity,
    InnerProduct,
    Lrn,
    Pointwise,
    Pooling,
    PReLU,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    Tile,
)

OPSET = 18
IR_VERSION = 10


def to_ir(network: CaffeNetwork) -> ir.Model:
    """The graph of a network, whose weights are views of the caffemodel: nothing is copied.

    Values are called as the network's blobs. An LRN across channels is one LRN node; whether
    runtimes compute that well is for :mod:`lrn_deploy.passes.lrn.legalize_lrn` to say.
    """
    inputs = [
        ir.Value(
            name=source.name,
            shape=ir.Shape([BATCH, *source.shape]),
            type=ir.TensorType(ir.DataType.FLOAT),
        )
        for source in network.inputs
    ]
    graph = ir.Graph(inputs, [], nodes=[], name=network.name or "caffe", opset_imports={"": OPSET})
    tape = ir_tape.Tape(graph)
    ops = Ops(tape)
    ops.reserve([*(source.name for source in network.inputs), *network.outputs])
    ops.reserve([name for layer in network.layers for name in layer.outputs])
    values = {str(value.name): value for value in inputs}
    for layer in network.layers:
        ops.begin(layer.name)
        entering = [values[name] for name in layer.inputs]
        made = _made(ops, layer, entering)
        for name, value in zip(layer.outputs, made, strict=True):
            if not isinstance(layer.parameters, Identity):
                value.name = name
            values[name] = value
    for name in network.outputs:
        value = values[name]
        if value.name != name:  # a Split or Dropout is no node
            ops.begin(name)
            value = ops.op("Identity", [value], network.outputs[name])
            value.name = name
        graph.outputs.append(value)
    return ir.Model(graph, ir_version=IR_VERSION, producer_name="lrn-deploy")


def to_onnx(network: CaffeNetwork) -> onnx.ModelProto:
    """The graph of a network with a copy of its weights; see :func:`to_ir`."""
    return ir.to_proto(to_ir(network))


def _made(ops: Ops, layer: Layer, inputs: Sequence[ir.Value]) -> list[ir.Value]:
    """The values of a layer's tops."""
    own = layer.parameters
    if isinstance(own, Identity):
        return [inputs[0]] * len(layer.outputs)
    if isinstance(own, Slice):
        return layers.slices(ops, layer, inputs, own)
    return [_one(ops, layer, inputs)]


def _one(ops: Ops, layer: Layer, inputs: Sequence[ir.Value]) -> ir.Value:
    match layer.parameters:
        case Convolution() as own:
            return windows.convolution(ops, layer, inputs, own)
        case Pooling() as own:
            return windows.pooling(ops, layer, inputs, own)
        case Lrn() as own:
            return windows.lrn(ops, layer, inputs, own)
        case InnerProduct() as own:
            return layers.inner_product(ops, layer, inputs, own)
        case Eltwise() as own:
            return layers.eltwise(ops, layer, inputs, own)
        case Concat() as own:
            return layers.concat(ops, layer, inputs, own_axis(own.axis, layer.input_shapes[0]))
        case Softmax() as own:
            axis = own_axis(own.axis, layer.input_shapes[0])
            return ops.op("Softmax", inputs, layer.output_shapes[0], {"axis": axis + 1})
        case Flatten() | Reshape():
            return ops.reshape(inputs[0], layer.output_shapes[0])
        case Crop() as own:
            return layers.crop(ops, layer, inputs, own)
        case BatchNorm() as own:
            return layers.batch_norm(ops, layer, inputs, own)
        case Affine() as own:
            return layers.affine(ops, layer, inputs, own)
        case ArgMax() as own:
            return layers.arg_max(ops, layer, inputs, own)
        case Reduction() as own:
            return layers.reduction(ops, layer, inputs, own)
        case Tile() as own:
            return layers.tile(ops, layer, inputs, own)
        case PReLU() as own:
            return layers.prelu(ops, layer, inputs, own)
        case Pointwise() as own:
            return layers.pointwise(ops, layer, inputs, own)
        case _:
            raise AssertionError(layer.type)

"""Layers without windows, in ONNX: products, sums, shapes, and functions of each value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from lrn_deploy.caffe.axes import Shape, own_axis
from lrn_deploy.caffe.graph.ops import Ops
from lrn_deploy.caffe.network import Layer
from lrn_deploy.caffe.parameters import (
    Affine,
    ArgMax,
    BatchNorm,
    Crop,
    Eltwise,
    InnerProduct,
    Pointwise,
    PReLU,
    Reduction,
    Slice,
    Tile,
)
from lrn_deploy.caffe.shapes import crop_offsets

Values = Sequence[ir.Value]


def inner_product(ops: Ops, layer: Layer, inputs: Values, own: InnerProduct) -> ir.Value:
    """InnerProduct -> Gemm; where axes before ``axis`` are kept, MatMul and Add."""
    x, shape, made = inputs[0], layer.input_shapes[0], layer.output_shapes[0]
    axis = own_axis(own.axis, shape)
    inner = math.prod(shape[axis:])
    weight = layer.blobs[0]
    bias = [ops.weights(layer.blobs[1], "bias")] if own.bias else []
    if len(shape) > axis + 1:
        x = ops.reshape(x, (*shape[:axis], inner))
    if axis == 0:
        factor = ops.weights(weight)
        return ops.op("Gemm", [x, factor, *bias], made, {"transB": 0 if own.transpose else 1})
    factor = ops.weights(weight if own.transpose else np.ascontiguousarray(weight.T))
    product = ops.op("MatMul", [x, factor], made)
    return ops.op("Add", [product, *bias], made) if bias else product


def eltwise(ops: Ops, layer: Layer, inputs: Values, own: Eltwise) -> ir.Value:
    """Eltwise -> Sum of products with the coefficients, Max, or a chain of Mul."""
    shape = layer.output_shapes[0]
    if own.operation == "MAX":
        return ops.op("Max", inputs, shape)
    if own.operation == "PROD":
        product = inputs[0]
        for factor in inputs[1:]:
            product = ops.op("Mul", [product, factor], shape)
        return product
    coefficients = own.coefficients or (1.0,) * len(inputs)
    terms = [
        term if c == 1 else ops.op("Mul", [term, ops.number(c, "coefficient")], shape)
        for term, c in zip(inputs, coefficients, strict=True)
    ]
    return ops.op("Sum", terms, shape)


def batch_norm(ops: Ops, layer: Layer, inputs: Values, own: BatchNorm) -> ir.Value:
    """BatchNorm -> BatchNormalization; the third blob is how often the sums were added to."""
    mean, variance, added = layer.blobs
    factor = np.float32(0) if added[0] == 0 else np.float32(1) / added[0]
    one, zero = np.ones_like(mean), np.zeros_like(mean)
    constants = [
        ops.weights(one, "scale"),
        ops.weights(zero, "bias"),
        ops.weights(np.asarray(mean * factor, np.float32), "mean"),
        ops.weights(np.asarray(variance * factor, np.float32), "variance"),
    ]
    return ops.op(
        "BatchNormalization",
        [inputs[0], *constants],
        layer.output_shapes[0],
        {"epsilon": own.epsilon},
    )


def affine(ops: Ops, layer: Layer, inputs: Values, own: Affine) -> ir.Value:
    """Scale and Bias -> Mul and Add, of weights or of the second bottom."""
    shape = layer.output_shapes[0]
    if len(inputs) == 2:
        other = layer.input_shapes[1]
        term = inputs[1]
        if len(other) < len(shape):
            term = ops.reshape(term, other + (1,) * (len(shape) - len(other)))
        return ops.op("Mul" if own.scale else "Add", [inputs[0], term], shape)
    axis = 0 if own.count == 0 else own_axis(own.axis, shape)
    x = inputs[0]
    for kind, blob in zip(("Mul",) * own.scale + ("Add",) * own.bias, layer.blobs, strict=True):
        behind = 0 if own.count == 0 else len(shape) - axis - blob.ndim
        term = ops.weights(blob.reshape(blob.shape + (1,) * behind), kind.lower())
        x = ops.op(kind, [x, term], shape)
    return x


def prelu(ops: Ops, layer: Layer, inputs: Values, own: PReLU) -> ir.Value:
    """PReLU -> PRelu with its slope along the channels."""
    shape = layer.output_shapes[0]
    slope = layer.blobs[0]
    if not own.shared:
        slope = slope.reshape(-1, *(1,) * (len(shape) - 1))
    return ops.op("PRelu", [inputs[0], ops.weights(slope, "slope")], shape)


def concat(ops: Ops, layer: Layer, inputs: Values, axis: int) -> ir.Value:
    """Concat -> Concat."""
    return ops.op("Concat", inputs, layer.output_shapes[0], {"axis": axis + 1})


def slices(ops: Ops, layer: Layer, inputs: Values, own: Slice) -> list[ir.Value]:
    """Slice -> Split."""
    axis = own_axis(own.axis, layer.input_shapes[0])
    sizes = ops.integers([shape[axis] for shape in layer.output_shapes], "sizes")
    return ops.ops("Split", [inputs[0], sizes], layer.output_shapes, {"axis": axis + 1})


def crop(ops: Ops, layer: Layer, inputs: Values, own: Crop) -> ir.Value:
    """Crop -> Slice; the second bottom gave its shape already."""
    shape, made = layer.input_shapes[0], layer.output_shapes[0]
    axis = own_axis(own.axis, shape)
    starts = crop_offsets(own, len(shape) - axis)
    ends = [start + size for start, size in zip(starts, made[axis:], strict=True)]
    axes = range(axis + 1, len(shape) + 1)
    bounds = [
        ops.integers(starts, "starts"),
        ops.integers(ends, "ends"),
        ops.integers(axes, "axes"),
    ]
    return ops.op("Slice", [inputs[0], *bounds], made)


def tile(ops: Ops, layer: Layer, inputs: Values, own: Tile) -> ir.Value:
    """Tile -> Tile."""
    repeats = [1] * (len(layer.input_shapes[0]) + 1)
    repeats[own_axis(own.axis, layer.input_shapes[0]) + 1] = own.copies
    return ops.op("Tile", [inputs[0], ops.integers(repeats, "repeats")], layer.output_shapes[0])


def reduction(ops: Ops, layer: Layer, inputs: Values, own: Reduction) -> ir.Value:
    """Reduction -> one of ONNX's reductions, times the coefficient."""
    kinds = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare"}
    shape, made = layer.input_shapes[0], layer.output_shapes[0]
    axes = ops.integers(range(own_axis(own.axis, shape) + 1, len(shape) + 1), "axes")
    kind = kinds.get(own.operation, "ReduceMean")
    reduced = ops.op(kind, [inputs[0], axes], made, {"keepdims": 0})
    return _linear(ops, reduced, made, own.coefficient, 0)


def arg_max(ops: Ops, layer: Layer, inputs: Values, own: ArgMax) -> ir.Value:
    """ArgMax -> TopK, read backwards: of equal values Caffe takes the last and TopK the first."""
    x, shape, made = inputs[0], layer.input_shapes[0], layer.output_shapes[0]
    if own.axis is None:
        shape, axis = (math.prod(shape),), 0
        x = ops.reshape(x, shape)
    else:
        axis = own_axis(own.axis, shape)
    size = shape[axis]
    bounds = [
        ops.integers([edge], role)
        for role, edge in (("starts", -1), ("ends", -size - 1), ("axes", axis + 1), ("steps", -1))
    ]
    backwards = ops.op("Slice", [x, *bounds], shape)
    top = (*shape[:axis], own.top, *shape[axis + 1 :])
    values, places = ops.ops(
        "TopK",
        [backwards, ops.integers([own.top], "k")],
        [top, top],
        {"axis": axis + 1},
        [ir.DataType.FLOAT, ir.DataType.INT64],
    )
    if own.values and own.axis is not None:
        return values
    real = ops.op("Cast", [places], top, {"to": ir.DataType.FLOAT})
    indices = ops.op("Sub", [ops.number(size - 1, "last"), real], top)
    if own.axis is not None:
        return indices
    one = (1, own.top, *made[2:])
    parts = [ops.reshape(part, one) for part in ([indices, values] if own.values else [indices])]
    return ops.op("Concat", parts, made, {"axis": 1}) if own.values else parts[0]


def pointwise(ops: Ops, layer: Layer, inputs: Values, own: Pointwise) -> ir.Value:
    """A function of each value -> one to four standard operators."""
    return _FUNCTIONS[own.function](ops, inputs[0], layer.output_shapes[0], own.numbers)


Numbers = Mapping[str, float]


def _linear(ops: Ops, x: ir.Value, shape: Shape, scale: float, shift: float) -> ir.Value:
    if scale != 1:
        x = ops.op("Mul", [x, ops.number(scale, "scale")], shape)
    return ops.op("Add", [x, ops.number(shift, "shift")], shape) if shift else x


def _simple(kind: str) -> Callable[[Ops, ir.Value, Shape, Numbers], ir.Value]:
    return lambda ops, x, shape, _numbers: ops.op(kind, [x], shape)


def _relu(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    slope = numbers["negative_slope"]
    return (
        ops.op("LeakyRelu", [x], shape, {"alpha": slope}) if slope else ops.op("Relu", [x], shape)
    )


def _elu(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    return ops.op("Elu", [x], shape, {"alpha": numbers["alpha"]})


def _exp(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    log = 1.0 if numbers["base"] == -1 else math.log(numbers["base"])
    inner = _linear(ops, x, shape, numbers["scale"] * log, numbers["shift"] * log)
    return ops.op("Exp", [inner], shape)


def _log(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    log = 1.0 if numbers["base"] == -1 else math.log(numbers["base"])
    inner = _linear(ops, x, shape, numbers["scale"], numbers["shift"])
    return _linear(ops, ops.op("Log", [inner], shape), shape, 1 / log, 0)


def _power(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    base = _linear(ops, x, shape, numbers["scale"], numbers["shift"])
    if numbers["power"] == 1:
        return base if base is not x else ops.op("Identity", [x], shape)
    return ops.op("Pow", [base, ops.number(numbers["power"], "power")], shape)


def _threshold(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    limit = ops.number(numbers["threshold"], "threshold")
    above = ops.op("Greater", [x, limit], shape, dtype=ir.DataType.BOOL)
    return ops.op("Cast", [above], shape, {"to": ir.DataType.FLOAT})


def _clip(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    bounds = [ops.number(numbers[name], name) for name in ("min", "max")]
    return ops.op("Clip", [x, *bounds], shape)


def _swish(ops: Ops, x: ir.Value, shape: Shape, numbers: Numbers) -> ir.Value:
    gate = ops.op("Sigmoid", [_linear(ops, x, shape, numbers["beta"], 0)], shape)
    return ops.op("Mul", [x, gate], shape)


_FUNCTIONS: dict[str, Callable[[Ops, ir.Value, Shape, Numbers], ir.Value]] = {
    "AbsVal": _simple("Abs"),
    "BNLL": _simple("Softplus"),
    "Clip": _clip,
    "ELU": _elu,
    "Exp": _exp,
    "Log": _log,
    "Power": _power,
    "ReLU": _relu,
    "Sigmoid": _simple("Sigmoid"),
    "Swish": _swish,
    "TanH": _simple("Tanh"),
    "Threshold": _threshold,
}

"""What a Caffe network computes, in float64 NumPy: what an imported network is held against.

Written from Caffe's own definitions, window by window and axis by axis, and from nothing that the
ONNX graph is made with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrn_deploy.caffe import reference_windows as windows
from lrn_deploy.caffe.network import CaffeNetwork, Layer
from lrn_deploy.errors import BadInputError

Floats = NDArray[np.float64]


def run(
    network: CaffeNetwork, inputs: Mapping[str, ArrayLike], *, everything: bool = False
) -> dict[str, Floats]:
    """The outputs of a network in float64, with its fp32 weights.

    Args:
        network: The network.
        inputs: An array of shape (N, *shape) for each of its inputs.
        everything: Give all values, not only the outputs.

    Raises:
        BadInputError: If an input is missing or has another shape.
    """
    values: dict[str, Floats] = {}
    for entry in network.inputs:
        if entry.name not in inputs:
            raise BadInputError(f"The input '{entry.name}' is missing.")
        array = np.asarray(inputs[entry.name], np.float64)
        if array.shape[1:] != entry.shape or array.ndim != len(entry.shape) + 1:
            raise BadInputError(
                f"The input '{entry.name}' has the shape {array.shape}; "
                f"it must be (N, {', '.join(map(str, entry.shape))})."
            )
        values[entry.name] = array
    with np.errstate(all="ignore"):
        for layer in network.layers:
            made = _LAYERS[layer.type](layer, [values[name] for name in layer.inputs])
            values |= zip(layer.outputs, made, strict=True)
    return values if everything else {name: values[name] for name in network.outputs}


Run = Callable[[Layer, Sequence[Floats]], list[Floats]]


def _same(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    return [inputs[0]] * len(layer.outputs)


def _inner_product(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x = inputs[0]
    axis = own.axis % x.ndim
    rows = x.reshape(math.prod(x.shape[:axis]), -1)
    weight = layer.blobs[0].astype(np.float64)
    y = rows @ (weight if own.transpose else weight.T)
    if own.bias:
        y = y + layer.blobs[1].astype(np.float64)
    return [y.reshape(*x.shape[:axis], own.outputs)]


def _eltwise(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    if own.operation == "MAX":
        return [np.maximum.reduce(list(inputs))]
    if own.operation == "PROD":
        return [np.multiply.reduce(list(inputs))]
    coefficients = own.coefficients or [1.0] * len(inputs)
    total = np.zeros_like(inputs[0])
    for coefficient, x in zip(coefficients, inputs, strict=True):
        total = total + coefficient * x
    return [total]


def _concat(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    return [np.concatenate(list(inputs), axis=own.axis)]


def _slice(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    cuts = list(own.points) or len(layer.outputs)
    return list(np.split(inputs[0], cuts, axis=own.axis))


def _softmax(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x = np.exp(inputs[0] - inputs[0].max(axis=own.axis, keepdims=True))
    return [x / x.sum(axis=own.axis, keepdims=True)]


def _flatten(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x = inputs[0]
    start, end = own.axis % x.ndim, own.end % x.ndim
    count = math.prod(x.shape[start : end + 1])
    return [x.reshape(*x.shape[:start], count, *x.shape[end + 1 :])]


def _reshape(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x = inputs[0]
    start = own.axis if own.axis >= 0 else own.axis + x.ndim + 1
    end = x.ndim if own.count == -1 else start + own.count
    dims = [x.shape[start + place] if dim == 0 else dim for place, dim in enumerate(own.dims)]
    if start == 0:
        dims[0] = len(x)  # also where it names the batch that the prototxt was written for
    return [x.reshape(*x.shape[:start], *dims, *x.shape[end:])]


def _crop(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x, like = inputs
    axis = own.axis % x.ndim
    cut = [slice(None)] * axis
    for place, size in enumerate(like.shape[axis:]):
        offset = 0 if not own.offsets else own.offsets[place if len(own.offsets) > 1 else 0]
        cut.append(slice(offset, offset + size))
    return [x[tuple(cut)]]


def _batch_norm(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    mean, variance, count = (blob.astype(np.float64) for blob in layer.blobs)
    factor = 0.0 if count[0] == 0 else 1 / count[0]
    along = (-1, *(1,) * (inputs[0].ndim - 2))
    mean, variance = (mean * factor).reshape(along), (variance * factor).reshape(along)
    return [(inputs[0] - mean) / np.sqrt(variance + own.epsilon)]


def _affine(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x = inputs[0]
    terms = [blob.astype(np.float64) for blob in layer.blobs] or [inputs[1]]
    axis = own.axis % x.ndim
    if own.scale:
        x = x * _along(terms.pop(0), axis, x.ndim)
    if own.bias:
        x = x + _along(terms.pop(0), axis, x.ndim)
    return [x]


def _along(term: Floats, axis: int, rank: int) -> Floats:
    """A term that lies along the axes from ``axis`` on."""
    if term.ndim == 0:
        return term
    return term.reshape((1,) * axis + term.shape + (1,) * (rank - axis - term.ndim))


def _arg_max(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x = inputs[0] if own.axis is not None else inputs[0].reshape(len(inputs[0]), -1)
    axis = 1 if own.axis is None else own.axis % x.ndim
    rows = np.moveaxis(x, axis, -1)
    indices = np.broadcast_to(np.arange(rows.shape[-1]), rows.shape)
    order = np.lexsort((indices, rows))[..., ::-1][..., : own.top]  # of equal values the last
    best = np.moveaxis(np.take_along_axis(rows, order, -1), -1, axis)
    where = np.moveaxis(order, -1, axis).astype(np.float64)
    if own.axis is not None:
        return [best if own.values else where]
    both = np.stack([where, best] if own.values else [where], axis=1)
    return [both.reshape(*both.shape, *(1,) * (inputs[0].ndim - 3))]


def _reduction(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x = inputs[0]
    axis = own.axis % x.ndim
    rows = x.reshape(*x.shape[:axis], -1)
    reduced = {
        "SUM": rows.sum(-1),
        "ASUM": np.abs(rows).sum(-1),
        "SUMSQ": np.square(rows).sum(-1),
        "MEAN": rows.mean(-1),
    }[own.operation]
    return [own.coefficient * reduced]


def _tile(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    return [np.concatenate([inputs[0]] * own.copies, axis=own.axis)]


def _prelu(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    x, slope = inputs[0], layer.blobs[0].astype(np.float64)
    if not own.shared:
        slope = _along(slope, 1, x.ndim)
    return [np.maximum(x, 0) + slope * np.minimum(x, 0)]


def _pointwise(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    own: Any = layer.parameters
    return [_FUNCTIONS[layer.type](inputs[0], own.numbers)]


def _shifted(x: Floats, numbers: Mapping[str, float]) -> Floats:
    return numbers["shift"] + numbers["scale"] * x


def _base(numbers: Mapping[str, float]) -> float:
    return math.e if numbers["base"] == -1 else numbers["base"]


_FUNCTIONS: dict[str, Callable[[Floats, Mapping[str, float]], Any]] = {
    "AbsVal": lambda x, _: np.abs(x),
    "BNLL": lambda x, _: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "Clip": lambda x, n: np.clip(x, n["min"], n["max"]),
    "ELU": lambda x, n: np.where(x > 0, x, n["alpha"] * np.expm1(np.minimum(x, 0))),
    "Exp": lambda x, n: _base(n) ** _shifted(x, n),
    "Log": lambda x, n: np.log(_shifted(x, n)) / math.log(_base(n)),
    "Power": lambda x, n: _shifted(x, n) ** n["power"],
    "ReLU": lambda x, n: np.where(x > 0, x, n["negative_slope"] * x),
    "Sigmoid": lambda x, _: 0.5 + 0.5 * np.tanh(0.5 * x),
    "Swish": lambda x, n: x * (0.5 + 0.5 * np.tanh(0.5 * n["beta"] * x)),
    "TanH": lambda x, _: np.tanh(x),
    "Threshold": lambda x, n: (x > n["threshold"]).astype(np.float64),
}

_LAYERS: dict[str, Run] = {
    **dict.fromkeys(_FUNCTIONS, _pointwise),
    "ArgMax": _arg_max,
    "BatchNorm": _batch_norm,
    "Bias": _affine,
    "Concat": _concat,
    "Convolution": windows.convolution,
    "Crop": _crop,
    "Deconvolution": windows.deconvolution,
    "Dropout": _same,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": windows.lrn,
    "PReLU": _prelu,
    "Pooling": windows.pooling,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Scale": _affine,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _same,
    "Tile": _tile,
}

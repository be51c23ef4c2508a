"""A layer's record -> its typed parameters, refused where Caffe would refuse it."""

from __future__ import annotations

from collections.abc import Callable

from lrn_deploy.caffe.files.record import Record
from lrn_deploy.caffe.parameters import (
    Affine,
    ArgMax,
    BatchNorm,
    Concat,
    Crop,
    Eltwise,
    Flatten,
    Identity,
    InnerProduct,
    Parameters,
    Pointwise,
    PReLU,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    Tile,
)
from lrn_deploy.caffe.reading_windows import read_convolution, read_lrn, read_pooling


def read_parameters(layer: Record) -> Parameters:
    """The parameters of a ``LayerParameter``.

    Raises:
        BadInputError: If its type is not known, or Caffe would refuse it; with the line.
    """
    kind = layer.get("type") or ""
    if kind not in READERS:
        raise layer.wrong(
            "type",
            f"layers of type '{kind}' cannot be imported.",
            "Delete it and those behind it to import the network up to here."
            if kind
            else "Give the layer a type.",
        )
    return READERS[kind](layer)


def _inner_product(layer: Record) -> InnerProduct:
    part = layer.part("inner_product_param")
    return InnerProduct(
        part.positive("num_output"),
        part.get("axis"),
        part.get("transpose"),
        part.get("bias_term"),
    )


def _eltwise(layer: Record) -> Eltwise:
    part = layer.part("eltwise_param")
    operation, coefficients = part.get("operation"), tuple(part.all("coeff"))
    if coefficients and operation != "SUM":
        raise part.wrong("coeff", f"coefficients are for SUM only, not for {operation}.")
    if len(coefficients) not in (0, len(layer.all("bottom"))):
        raise part.wrong(
            "coeff",
            f"{len(coefficients)} coefficients are given for {len(layer.all('bottom'))} bottoms.",
        )
    return Eltwise(operation, coefficients)


def _concat(layer: Record) -> Concat:
    part = layer.part("concat_param")
    return Concat(_one_axis(part, "concat_dim"))


def _slice(layer: Record) -> Slice:
    part = layer.part("slice_param")
    points, tops = tuple(part.all("slice_point")), len(layer.all("top"))
    if points and len(points) != tops - 1:
        raise part.wrong("slice_point", f"{tops} tops need {tops - 1} slice points.")
    if any(a >= b for a, b in zip((0, *points), points, strict=False)):
        raise part.wrong("slice_point", "slice points must grow from above 0.")
    return Slice(_one_axis(part, "slice_dim"), points)


def _one_axis(part: Record, old: str) -> int:
    """The axis by its name of today, or by its ``old`` one."""
    if part.has(old) and part.has("axis"):
        raise part.wrong("axis", f"'axis' and '{old}' are the same and given both.")
    return int(part.get(old if part.has(old) else "axis"))


def _softmax(layer: Record) -> Softmax:
    return Softmax(layer.part("softmax_param").get("axis"))


def _flatten(layer: Record) -> Flatten:
    part = layer.part("flatten_param")
    return Flatten(part.get("axis"), part.get("end_axis"))


def _reshape(layer: Record) -> Reshape:
    part = layer.part("reshape_param")
    dims = tuple(part.part("shape").all("dim"))
    if sum(dim == -1 for dim in dims) > 1 or any(dim < -1 for dim in dims):
        raise part.wrong("shape", f"dims {list(dims)} must be 0 or more, with -1 once at most.")
    return Reshape(dims, part.get("axis"), part.get("num_axes"))


def _crop(layer: Record) -> Crop:
    part = layer.part("crop_param")
    return Crop(part.get("axis"), tuple(part.all("offset")))


def _batch_norm(layer: Record) -> BatchNorm:
    part = layer.part("batch_norm_param")
    if part.has("use_global_stats") and not part.get("use_global_stats"):
        raise part.wrong(
            "use_global_stats",
            "a batch norm over the batch's own statistics mixes the images of a batch.",
            "For deployment it is true, which is also what leaving it out means.",
        )
    return BatchNorm(part.get("eps"))


def _scale(layer: Record) -> Affine:
    part = layer.part("scale_param")
    bias = part.get("bias_term")
    if bias and len(layer.all("bottom")) > 1:
        raise part.wrong("bias_term", "a bias beside a second bottom cannot be imported.")
    return Affine(part.get("axis"), part.get("num_axes"), scale=True, bias=bias)


def _bias(layer: Record) -> Affine:
    part = layer.part("bias_param")
    return Affine(part.get("axis"), part.get("num_axes"), scale=False, bias=True)


def _arg_max(layer: Record) -> ArgMax:
    part = layer.part("argmax_param")
    axis = part.get("axis") if part.has("axis") else None
    return ArgMax(axis, part.positive("top_k"), part.get("out_max_val"))


def _reduction(layer: Record) -> Reduction:
    part = layer.part("reduction_param")
    return Reduction(part.get("operation"), part.get("axis"), part.get("coeff"))


def _tile(layer: Record) -> Tile:
    part = layer.part("tile_param")
    return Tile(part.get("axis"), part.positive("tiles"))


def _prelu(layer: Record) -> PReLU:
    return PReLU(layer.part("prelu_param").get("channel_shared"))


def _identity(_layer: Record) -> Identity:
    return Identity()


def _pointwise(parameter: str = "", *names: str) -> Callable[[Record], Pointwise]:
    def read(layer: Record) -> Pointwise:
        numbers = {}
        part = layer.part(parameter) if parameter else layer
        for name in names:
            if part.get(name) is None:
                raise part.place.wrong(f"'{name}' is missing.")
            numbers[name] = float(part.get(name))
        base = numbers.get("base")
        if base is not None and base != -1 and base <= 0:
            raise part.wrong("base", f"the base is {base:g}; it must be positive, or -1 for e.")
        return Pointwise(layer.get("type"), numbers)

    return read


READERS: dict[str, Callable[[Record], Parameters]] = {
    "AbsVal": _pointwise(),
    "ArgMax": _arg_max,
    "BNLL": _pointwise(),
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Clip": _pointwise("clip_param", "min", "max"),
    "Concat": _concat,
    "Convolution": read_convolution,
    "Crop": _crop,
    "Deconvolution": read_convolution,
    "Dropout": _identity,
    "ELU": _pointwise("elu_param", "alpha"),
    "Eltwise": _eltwise,
    "Exp": _pointwise("exp_param", "base", "scale", "shift"),
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": read_lrn,
    "Log": _pointwise("log_param", "base", "scale", "shift"),
    "PReLU": _prelu,
    "Pooling": read_pooling,
    "Power": _pointwise("power_param", "power", "scale", "shift"),
    "ReLU": _pointwise("relu_param", "negative_slope"),
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": _pointwise(),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _identity,
    "Swish": _pointwise("swish_param", "beta"),
    "TanH": _pointwise(),
    "Threshold": _pointwise("threshold_param", "threshold"),
    "Tile": _tile,
}
"""How each type of layer is read."""

"""Caffe's rules for shapes: of what a layer puts out, and of the weights it takes.

Shapes here leave out the first axis, the batch, which stays free: a layer for which it would be
more than that is refused. Axes count from the batch, as in a prototxt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import singledispatch

from lrn_deploy.caffe.axes import MAX_AXES, MAX_VALUES, MisfitError, Shape, own_axis, padded, words
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
    Parameters,
    Pooling,
    PReLU,
    Reduction,
    Reshape,
    Sizes,
    Slice,
    Softmax,
    Tile,
)
from lrn_deploy.caffe.window_shapes import convolved, pooled


def output_shapes(
    layer: Parameters, inputs: Sequence[Shape], tops: int, batch: int = 1
) -> list[Shape]:
    """The shapes of a layer's tops.

    Args:
        layer: Its parameters.
        inputs: The shapes of its bottoms.
        tops: How many tops it has.
        batch: The batch that the prototxt was written for: a Reshape may name it.

    Raises:
        MisfitError: If it does not take such inputs, or so many tops.
    """
    low, high = _bottoms(layer)
    if not low <= len(inputs) <= high:
        wanted = f"{low}" if low == high else f"{low} or more" if high > 2 else f"{low} or {high}"
        raise MisfitError(f"it has {len(inputs)} bottoms and takes {wanted}.")
    if isinstance(layer, BatchNorm | PReLU) and not inputs[0]:
        raise MisfitError("its input has no channels.")
    if isinstance(layer, Lrn) and len(inputs[0]) != 3:
        raise MisfitError(f"its input is N x {words(inputs[0])}, and it takes N x C x H x W.")
    if isinstance(layer, Slice):
        shapes = _slice(layer, inputs[0], tops)
    elif isinstance(layer, Identity):
        shapes = [inputs[0]] * tops
    else:
        if tops != 1:
            raise MisfitError(f"it has {tops} tops and makes 1.")
        if isinstance(layer, Reshape):
            shapes = [_reshape(layer, inputs[0], batch)]
        else:
            shapes = [_output(layer, inputs)]
    for shape in shapes:
        if len(shape) >= MAX_AXES or min(shape, default=1) < 1 or math.prod(shape) > MAX_VALUES:
            raise MisfitError(f"its output would have the shape N x {words(shape)}.")
    return shapes


def _bottoms(layer: Parameters) -> tuple[int, int]:
    """The least and the most bottoms."""
    if isinstance(layer, Eltwise):
        return 2, MAX_VALUES
    if isinstance(layer, Concat):
        return 1, MAX_VALUES
    if isinstance(layer, Crop):
        return 2, 2
    return (1, 2) if isinstance(layer, Affine) else (1, 1)


@singledispatch
def _output(_layer: Parameters, inputs: Sequence[Shape]) -> Shape:
    """Layers that keep the shape."""
    return inputs[0]


@_output.register
def _convolution(layer: Convolution, inputs: Sequence[Shape]) -> Shape:
    return convolved(layer, inputs[0])


@_output.register
def _pooling(layer: Pooling, inputs: Sequence[Shape]) -> Shape:
    return pooled(layer, inputs[0])


@_output.register
def _inner_product(layer: InnerProduct, inputs: Sequence[Shape]) -> Shape:
    axis = own_axis(layer.axis, inputs[0])
    return *inputs[0][:axis], layer.outputs


@_output.register
def _softmax(layer: Softmax, inputs: Sequence[Shape]) -> Shape:
    own_axis(layer.axis, inputs[0])
    return inputs[0]


@_output.register
def _eltwise(_layer: Eltwise, inputs: Sequence[Shape]) -> Shape:
    if len(set(inputs)) > 1:
        raise MisfitError(f"its bottoms differ: {_list(inputs)}.")
    return inputs[0]


@_output.register
def _concat(layer: Concat, inputs: Sequence[Shape]) -> Shape:
    axis = own_axis(layer.axis, inputs[0])
    others = {shape[:axis] + shape[axis + 1 :] for shape in inputs if len(shape) > axis}
    if len(others) > 1 or any(len(shape) != len(inputs[0]) for shape in inputs):
        raise MisfitError(f"its bottoms differ beside axis {axis + 1}: {_list(inputs)}.")
    total = sum(shape[axis] for shape in inputs)
    return *inputs[0][:axis], total, *inputs[0][axis + 1 :]


def _slice(layer: Slice, shape: Shape, tops: int) -> list[Shape]:
    axis = own_axis(layer.axis, shape)
    size = shape[axis]
    if not layer.points and (tops < 1 or size % tops):
        raise MisfitError(f"axis {layer.axis} of {size} cannot be cut into {tops} equal parts.")
    points = layer.points or tuple(range(size // tops, size, size // tops))
    ends = (*points, size)
    parts = [end - start for start, end in zip((0, *points), ends, strict=True)]
    if len(parts) != tops or min(parts) < 1:
        raise MisfitError(f"axis {layer.axis} of {size} cannot be cut at {list(points)}.")
    return [(*shape[:axis], part, *shape[axis + 1 :]) for part in parts]


@_output.register
def _flatten(layer: Flatten, inputs: Sequence[Shape]) -> Shape:
    start, end = own_axis(layer.axis, inputs[0]), own_axis(layer.end, inputs[0])
    if end < start:
        raise MisfitError(f"end_axis {layer.end} lies before axis {layer.axis}.")
    return *inputs[0][:start], math.prod(inputs[0][start : end + 1]), *inputs[0][end + 1 :]


def _reshape(layer: Reshape, shape: Shape, batch: int) -> Shape:
    """By Caffe's rule for the whole shape; the first axis must come out as the batch."""
    whole = (batch, *shape)
    start = layer.axis if layer.axis >= 0 else layer.axis + len(whole) + 1
    end = len(whole) if layer.count == -1 else start + layer.count
    if not 0 <= start <= len(whole) or layer.count < -1 or end > len(whole):
        raise MisfitError(f"axes {layer.axis} to {end} are not in the {len(whole)} axes.")
    new: list[int] = []
    for place, dim in enumerate(layer.dims):
        if dim == 0 and start + place >= len(whole):
            raise MisfitError(f"dim {place} is 0, and the input has no axis {start + place}.")
        new.append(whole[start + place] if dim == 0 else dim)
    result = [*whole[:start], *new, *whole[end:]]
    count = math.prod(whole)
    if -1 in result:
        known = -math.prod(result)
        if known == 0 or count % known:
            raise MisfitError(f"{words(whole)} cannot become {words(tuple(result))}.")
        result[result.index(-1)] = count // known
    if math.prod(result) != count:
        raise MisfitError(f"{words(whole)} cannot become {words(tuple(result))}.")
    if not result or result[0] != batch:
        raise MisfitError(
            f"its output is {words(tuple(result))} for a batch of {batch}: the first axis must "
            "stay the batch."
        )
    return tuple(result[1:])


@_output.register
def _crop(layer: Crop, inputs: Sequence[Shape]) -> Shape:
    shape, like = inputs
    if len(shape) != len(like):
        raise MisfitError(f"its bottoms differ in rank: {_list(inputs)}.")
    axis = own_axis(layer.axis, shape)
    if len(layer.offsets) not in (0, 1, len(shape) - axis):
        raise MisfitError(
            f"{len(layer.offsets)} offsets are given for {len(shape) - axis} cropped axes."
        )
    for size, wanted, offset in zip(
        shape[axis:], like[axis:], crop_offsets(layer, len(shape) - axis), strict=True
    ):
        if offset + wanted > size:
            raise MisfitError(f"{wanted} from {offset} on is more than {size}.")
    return *shape[:axis], *like[axis:]


def crop_offsets(layer: Crop, axes: int) -> Sizes:
    """One offset for each cropped axis."""
    return padded(layer.offsets or (0,), axes)


@_output.register
def _affine(layer: Affine, inputs: Sequence[Shape]) -> Shape:
    shape = inputs[0]
    if len(inputs) == 2:
        if layer.axis not in (0, -len(shape) - 1) or inputs[1] != shape[: len(inputs[1])]:
            raise MisfitError(
                f"a second bottom of N x {words(inputs[1])} for N x {words(shape)} needs axis 0 "
                "and the same leading axes."
            )
    else:
        affine_shape(layer, shape)
    return shape


def affine_shape(layer: Affine, shape: Shape) -> Shape:
    """The shape of a learned factor or summand."""
    if layer.count == 0:
        return ()
    axis = own_axis(layer.axis, shape)
    end = len(shape) if layer.count == -1 else axis + layer.count
    if layer.count < -1 or end > len(shape):
        raise MisfitError(f"{layer.count} axes from {layer.axis} on are more than there are.")
    return shape[axis:end]


@_output.register
def _arg_max(layer: ArgMax, inputs: Sequence[Shape]) -> Shape:
    shape = inputs[0]
    if layer.axis is None:
        if layer.top > math.prod(shape):
            raise MisfitError(f"top_k {layer.top} is more than there is.")
        rest = max(len(shape) - 2, 0)
        return 2 if layer.values else 1, layer.top, *(1,) * rest
    axis = own_axis(layer.axis, shape)
    if layer.top > shape[axis]:
        raise MisfitError(f"top_k {layer.top} is more than the {shape[axis]} there are.")
    return *shape[:axis], layer.top, *shape[axis + 1 :]


@_output.register
def _reduction(layer: Reduction, inputs: Sequence[Shape]) -> Shape:
    return inputs[0][: own_axis(layer.axis, inputs[0])]


@_output.register
def _tile(layer: Tile, inputs: Sequence[Shape]) -> Shape:
    axis = own_axis(layer.axis, inputs[0])
    return *inputs[0][:axis], inputs[0][axis] * layer.copies, *inputs[0][axis + 1 :]


def blob_shapes(layer: Parameters, inputs: Sequence[Shape]) -> list[Shape]:
    """The shapes of the weights that a layer takes, in the order of its blobs.

    Args:
        layer: Its parameters.
        inputs: The shapes of its bottoms, which :func:`output_shapes` took.
    """
    shape = inputs[0]
    if isinstance(layer, Convolution):
        into, out = shape[0], layer.outputs
        first, second = (into, out) if layer.transposed else (out, into)
        weight = (first, second // layer.group, *padded(layer.kernel, len(shape) - 1))
        return [weight, (out,)] if layer.bias else [weight]
    if isinstance(layer, InnerProduct):
        inner = math.prod(shape[own_axis(layer.axis, shape) :])
        weight = (inner, layer.outputs) if layer.transpose else (layer.outputs, inner)
        return [weight, (layer.outputs,)] if layer.bias else [weight]
    if isinstance(layer, BatchNorm):
        return [(shape[0],), (shape[0],), (1,)]
    if isinstance(layer, Affine) and len(inputs) == 1:
        return [affine_shape(layer, shape)] * (layer.scale + layer.bias)
    if isinstance(layer, PReLU):
        return [() if layer.shared else (shape[0],)]
    return []


def _list(shapes: Sequence[Shape]) -> str:
    return ", ".join(f"N x {words(shape)}" for shape in shapes[:4])

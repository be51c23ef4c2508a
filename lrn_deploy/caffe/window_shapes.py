"""Caffe's rules for the size of what convolution and pooling put out."""

from __future__ import annotations

from lrn_deploy.caffe.axes import MisfitError, Shape, padded, words
from lrn_deploy.caffe.parameters import Convolution, Pooling


def convolved(layer: Convolution, shape: Shape) -> Shape:
    """The output of a convolution, rounded down."""
    channels, *plane = shape or (0,)
    if not plane:
        raise MisfitError(f"its input is N x {words(shape)}, without spatial axes.")
    kernel, stride = padded(layer.kernel, len(plane)), padded(layer.stride, len(plane))
    pad, dilation = padded(layer.pad, len(plane)), padded(layer.dilation, len(plane))
    if channels % layer.group or layer.outputs % layer.group:
        raise MisfitError(
            f"{channels} channels to {layer.outputs} cannot be in {layer.group} groups."
        )
    sizes = []
    for size, k, s, p, d in zip(plane, kernel, stride, pad, dilation, strict=True):
        extent = d * (k - 1) + 1
        if layer.transposed:
            sizes.append(s * (size - 1) + extent - 2 * p)
        else:
            sizes.append((size + 2 * p - extent) // s + 1)
    if min(sizes) < 1:
        raise MisfitError(
            f"a kernel of {words(kernel)} does not fit a plane of {words(tuple(plane))}."
        )
    return layer.outputs, *sizes


def pooled(layer: Pooling, shape: Shape) -> Shape:
    """The output of a pooling, rounded up and clipped."""
    if len(shape) != 3:
        raise MisfitError(f"its input is N x {words(shape)}, and pooling takes N x C x H x W.")
    channels, *plane = shape
    if not layer.kernel:
        return channels, 1, 1
    sizes = [
        _windows(size, k, s, p, clip=max(layer.pad) > 0, floor=layer.floor)
        for size, k, s, p in zip(plane, layer.kernel, layer.stride, layer.pad, strict=True)
    ]
    if min(sizes) < 1:
        raise MisfitError(
            f"a kernel of {words(layer.kernel)} does not fit a plane of {words(tuple(plane))}."
        )
    for size, out, k, s, p in zip(plane, sizes, layer.kernel, layer.stride, layer.pad, strict=True):
        if (out - 1) * s - p >= size:
            raise MisfitError(
                f"a stride of {s} over {size} pixels puts the last kernel of {k} outside the "
                "image, where Caffe's result is no number of the image."
            )
    return channels, *sizes


def _windows(size: int, kernel: int, stride: int, pad: int, *, clip: bool, floor: bool) -> int:
    """How many windows there are: with padding, none that begins beyond the image."""
    whole = size + 2 * pad - kernel
    out = (whole // stride if floor else -(-whole // stride)) + 1
    return out - 1 if clip and (out - 1) * stride >= size + pad else out

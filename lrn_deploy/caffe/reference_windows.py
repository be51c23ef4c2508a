"""Convolution, pooling and LRN in float64, as Caffe defines them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.caffe.network import Layer

Floats = NDArray[np.float64]


def convolution(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    """The sum over each window of what lies in it times the weights."""
    own: Any = layer.parameters
    x, weight = inputs[0], layer.blobs[0].astype(np.float64)
    axes = x.ndim - 2
    kernel, stride, pad, dilation = _sizes(own, axes)
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    extent = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=tuple(range(2, x.ndim)))
    steps = [slice(None, None, step) for step in (*stride, *dilation)]
    windows = windows[(slice(None), slice(None), *steps)]  # (N, C, *output, *kernel)
    y = np.empty((len(x), own.outputs, *windows.shape[2 : 2 + axes]))
    into, out = x.shape[1] // own.group, own.outputs // own.group
    inner = [0, *range(1 + axes, 1 + 2 * axes)]
    for image, group in itertools.product(range(len(x)), range(own.group)):
        inside, outside = _part(group, into), _part(group, out)
        y[image, outside] = np.tensordot(
            weight[outside], windows[image, inside], (range(1, axes + 2), inner)
        )
    return [_with_bias(y, layer)]


def deconvolution(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    """What convolution does backwards: each pixel spreads over the kernel's places."""
    own: Any = layer.parameters
    x, weight = inputs[0], layer.blobs[0].astype(np.float64)
    plane = x.shape[2:]
    kernel, stride, pad, dilation = _sizes(own, len(plane))
    whole = [
        s * (n - 1) + d * (k - 1) + 1
        for n, k, s, d in zip(plane, kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((len(x), own.outputs, *whole))
    into, out = x.shape[1] // own.group, own.outputs // own.group
    for tap in itertools.product(*map(range, kernel)):
        under: Any = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, plane, stride, strict=True)
        )
        for group in range(own.group):
            inside, outside = _part(group, into), _part(group, out)
            taps: Any = (inside, slice(None), *tap)
            y[(slice(None), outside, *under)] += _mixed(weight[taps].T, x[:, inside])
    inner: Any = (..., *(slice(p, n - p) for p, n in zip(pad, whole, strict=True)))
    return [_with_bias(y[inner], layer)]


def pooling(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    """Each window on its own, as Caffe's loops cut it."""
    own: Any = layer.parameters
    x = inputs[0]
    size = x.shape[2:]
    kernel = own.kernel or size
    made = [
        _pooled(n, k, s, p, own)
        for n, k, s, p in zip(size, kernel, own.stride, own.pad, strict=True)
    ]
    y = np.empty((*x.shape[:2], *made))
    for out in itertools.product(*map(range, y.shape[2:])):
        inside: Any = [...]
        counted = 1
        for place, n, k, s, p in zip(out, size, kernel, own.stride, own.pad, strict=True):
            start = place * s - p
            counted *= min(start + k, n + p) - start  # the padding counts, what is beyond does not
            inside.append(slice(max(start, 0), min(start + k, n)))
        window = x[tuple(inside)]
        at: Any = (..., *out)
        y[at] = window.max((2, 3)) if own.method == "MAX" else window.sum((2, 3)) / counted
    return [y]


def _pooled(size: int, kernel: int, stride: int, pad: int, own: Any) -> int:
    """How many windows there are: Caffe drops the last if it would begin in the padding."""
    steps = (size + 2 * pad - kernel) / stride
    count = (math.floor(steps) if own.floor else math.ceil(steps)) + 1
    begins_outside = (count - 1) * stride >= size + pad
    return count - 1 if any(own.pad) and begins_outside else count


def lrn(layer: Layer, inputs: Sequence[Floats]) -> list[Floats]:
    """Across channels over a window of them, within one over a square of pixels."""
    own: Any = layer.parameters
    x = inputs[0]
    reach = own.size // 2
    energy = np.zeros_like(x)
    if own.region == "ACROSS_CHANNELS":
        for channel in range(x.shape[1]):
            window = x[:, max(channel - reach, 0) : channel + reach + 1]
            energy[:, channel] = np.square(window).sum(axis=1)
        return [x / (own.k + own.alpha / own.size * energy) ** own.beta]
    for row, column in itertools.product(*map(range, x.shape[2:])):
        rows = slice(max(row - reach, 0), row + reach + 1)
        columns = slice(max(column - reach, 0), column + reach + 1)
        energy[:, :, row, column] = np.square(x[:, :, rows, columns]).sum(axis=(2, 3))
    return [x / (1 + own.alpha / own.size**2 * energy) ** own.beta]


def _sizes(own: Any, axes: int) -> list[tuple[int, ...]]:
    every = (own.kernel, own.stride, own.pad, own.dilation)
    return [sizes * axes if len(sizes) == 1 else sizes for sizes in every]


def _mixed(factor: Floats, x: Floats) -> Floats:
    """``factor`` of shape (O, I) applied to the channels of ``x`` of shape (N, I, *)."""
    flat = x.reshape(*x.shape[:2], -1)
    y = np.ascontiguousarray(factor) @ flat  # strided, it would not go through BLAS
    return y.reshape(len(x), len(factor), *x.shape[2:])


def _part(group: int, size: int) -> slice:
    return slice(group * size, (group + 1) * size)


def _with_bias(y: Floats, layer: Layer) -> Floats:
    if len(layer.blobs) == 1:
        return y
    return y + layer.blobs[1].astype(np.float64).reshape(-1, *(1,) * (y.ndim - 2))

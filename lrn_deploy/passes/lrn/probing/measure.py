"""An LRN's parameters, window and layout from what a function makes of planted inputs.

In turn, and each on the ground of those before:

1. One live element over many decades: is the quotient ``(k + factor * t ** 2) ** beta``?
2. One large element among small ones: which others does it reach? They lie on the channels' axis.
3. The curve again, closely: k, factor and beta to the digits that fp32 has.
4. One large channel at a time: the window's width on either side, the same for every channel.
5. Random tensors in three scales and in all scales at once, some of it zero, against the float64
   definition: all else, as pixels and images that must not meet, or another k in another channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.passes.lrn.pooled_channels import NotLrnError
from lrn_deploy.passes.lrn.probing.curve import Curve, fitted_curve, in_decimals, rough_curve

Function = Callable[[NDArray[np.floating]], NDArray[np.float32]]
Floats = NDArray[np.float64]

MAX_CHANNELS = 2048
"""Each channel is planted once, in all of them: the square of this many numbers."""
_DECADES: Floats = np.logspace(-6, 10, 9, dtype=np.float64)
_CLOSELY: Floats = np.logspace(-3, 2, 26, dtype=np.float64)
"""Multiples of the curve's knee."""
_LARGE = 1e3
"""What is planted, in multiples of the knee; what it is planted among, one in as many of it."""
_REACHED = 0.01
"""A share of what was planted. A running sum in fp32 leaves a millionth of it where it left."""
_WEIGHT = 1e-3
"""How far from 1 or 0 the weight of a channel in a window may be measured."""
_SCALES = (0.03, 1.0, 30.0)
_ZEROS = 0.1
_EXACT = 3e-6
_RUNNING_SUM = 1e-6
"""Rounding of a sum over all channels in fp32, which a window may be the difference of."""

WITHIN_CHANNELS = "it averages over the pixels within each channel, which ONNX's LRN cannot express"


@dataclass(frozen=True)
class Measured:
    """``x / (k + factor * sum of the squares of left + 1 + right channels) ** beta``.

    Attributes:
        axis: Of the channels.
        left: Channels before the one itself.
        right: Channels behind it.
        alpha: ``factor * (left + 1 + right)``.
        beta: The exponent.
        k: The constant.
    """

    axis: int
    left: int
    right: int
    alpha: float
    beta: float
    k: float


def measured(function: Function, *shapes: tuple[int, ...]) -> Measured | None:
    """What LRN a function is; None if it does not look like one.

    Args:
        function: Makes an array of the shape of its only argument; raises where it cannot.
        shapes: Shapes that it takes, of rank 3 or more: the first is measured in, and what is
            measured must hold for the others too.

    Raises:
        NotLrnError: If it looks like one and is none.
    """
    shape = shapes[0]
    rough = _rough(function, shape)
    if rough is None:
        return None
    axis = _axis(function, shape, rough)
    channels = shape[axis]
    if channels > MAX_CHANNELS:
        raise NotLrnError(f"its {channels} channels are too many to find out its window")
    columns = _Columns(function, shape, axis)
    t = rough.knee * _CLOSELY
    denominator = _denominator(columns, t, channels)
    curve = fitted_curve(t, denominator, rough)
    if curve is None:
        raise NotLrnError("what it divides by is no power of a constant and a sum of squares")
    left, right = _window(columns, curve, channels)
    curve, alpha = in_decimals(curve, left + 1 + right, t, denominator)
    for each in shapes:
        for x in _random(each, axis, curve):
            _compare(function(x), x, curve, (axis, left, right))
    return Measured(axis, left, right, alpha, curve.beta, curve.k)


def _rough(function: Function, shape: tuple[int, ...]) -> Curve | None:
    middle = tuple(length // 2 for length in shape)
    denominator = []
    for t in _DECADES:
        x = np.zeros(shape, np.float32)
        x[middle] = t
        with np.errstate(all="ignore"):
            denominator.append(t / np.float64(function(x)[middle]))
    return rough_curve(_DECADES, np.array(denominator))


def _axis(function: Function, shape: tuple[int, ...], curve: Curve) -> int:
    """The axis along which one element reaches others: 1, or the last one.

    Raises:
        NotLrnError: If it reaches others elsewhere.
    """
    large, rest = _planted(curve)
    among = np.full(shape, rest, np.float32)
    before = curve.sum_of(among / function(among).astype(np.float64))
    axes: set[int] = set()
    for at in {tuple(n // 2 for n in shape), tuple((n - 1) // 2 for n in shape)}:
        x = among.copy()
        x[at] = large
        sums = curve.sum_of(x / function(x).astype(np.float64))
        reached = ~(abs(sums - before) <= _REACHED * large**2)
        for other in np.argwhere(reached):
            axes.update(int(axis) for axis in np.flatnonzero(other != at))
    last = len(shape) - 1
    if axes <= {1} or axes == {last}:
        return last if last in axes else 1
    if 0 not in axes and not {1, last} <= axes:
        raise NotLrnError(WITHIN_CHANNELS)
    raise NotLrnError("what it sums are not channels alone")


class _Columns:
    """A function of single pixels, which are columns of channels, as many at once as x holds."""

    def __init__(self, function: Function, shape: tuple[int, ...], axis: int) -> None:
        self._function = function
        self._axis = axis
        self._channels = shape[axis]
        self._others = (*shape[:axis], *shape[axis + 1 :])

    def __call__(self, columns: Floats) -> Floats:
        """Shape (P, C) in and out."""
        held = math.prod(self._others)
        made = []
        for start in range(0, len(columns), held):
            part = columns[start : start + held]
            filled = np.ones((held, self._channels))
            filled[: len(part)] = part
            shaped = filled.reshape(*self._others, self._channels)
            y = np.moveaxis(self._function(np.moveaxis(shaped, -1, self._axis)), self._axis, -1)
            made.append(y.reshape(held, self._channels)[: len(part)].astype(np.float64))
        return np.concatenate(made)


def _denominator(columns: _Columns, t: Floats, channels: int) -> Floats:
    """What the middle channel is divided by where it has the value t and the others are zero."""
    x = np.zeros((len(t), channels))
    x[:, channels // 2] = t
    x = x.astype(np.float32).astype(np.float64)
    with np.errstate(all="ignore"):
        return np.asarray((x / columns(x))[:, channels // 2])


def _window(columns: _Columns, curve: Curve, channels: int) -> tuple[int, int]:
    """How many channels on either side are summed.

    Raises:
        NotLrnError: If it is not the same for every channel, cut at the ends, or if the ends do
            not show it.
    """
    large, rest = _planted(curve)
    x = np.where(np.eye(channels, dtype=bool), large, rest)
    # Row i, column j: how much of channel j's square there is in the sum of channel i.
    weights = (curve.sum_of(x / columns(x)) / large**2).T
    if not np.isfinite(weights).all():
        raise NotLrnError("its window is not the same for every channel")
    right = int(np.count_nonzero(weights[0] > _REACHED)) - 1
    left = int(np.count_nonzero(weights[-1] > _REACHED)) - 1
    row, column = np.indices(weights.shape)
    band = (row - left <= column) & (column <= row + right)
    if min(left, right) < 0 or abs(weights - band).max() > _WEIGHT:
        raise NotLrnError("its window is not the same for every channel")
    if max(left, right) >= channels - 1 > 0:
        raise NotLrnError(
            f"its window reaches over all of its {channels} channels, as any larger one would"
        )
    return left, right


def _random(shape: tuple[int, ...], axis: int, curve: Curve) -> Iterator[NDArray[np.float32]]:
    """Tensors in single scales, and one in which every pixel has its own; all with zeros."""
    generator = np.random.default_rng(0)
    pixels = tuple(1 if at == axis else length for at, length in enumerate(shape))
    own = np.exp(generator.uniform(np.log(_SCALES[0]), np.log(_SCALES[-1]), pixels))
    for scale in (*_SCALES, own):
        x = curve.knee * scale * generator.standard_normal(shape)
        x[generator.random(shape) < _ZEROS] = 0
        yield x.astype(np.float32)


def _compare(
    y: NDArray[np.float32], x: NDArray[np.float32], curve: Curve, window: tuple[int, int, int]
) -> None:
    """Raise NotLrnError where y is not the LRN of x."""
    axis, left, right = window
    squares = np.moveaxis(np.square(x.astype(np.float64)), axis, -1)
    channels = squares.shape[-1]
    padded = np.pad(squares, [(0, 0)] * (squares.ndim - 1) + [(left, right)])
    sums = sum(padded[..., at : at + channels] for at in range(left + 1 + right))
    total = squares.sum(axis=-1, keepdims=True)
    inside = curve.k + curve.factor * np.asarray(sums)
    denominator = curve.of_sum(np.asarray(sums))
    with np.errstate(all="ignore"):
        truth = np.moveaxis(x, axis, -1) / denominator
        rounding = _EXACT * (1 + abs(np.log(denominator)))
        rounding = rounding + curve.beta * curve.factor * total * _RUNNING_SUM / inside
        close = abs(np.moveaxis(y, axis, -1) - truth) <= rounding * abs(truth)
    if not close[inside > 0].all():
        raise NotLrnError("it differs from the LRN that it looks like")


def _planted(curve: Curve) -> tuple[float, float]:
    """A large value, and a small one to plant it among."""
    return curve.knee * _LARGE, curve.knee

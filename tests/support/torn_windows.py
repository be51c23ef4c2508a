"""The sum over a window of channels, as it is torn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from onnx import helper

from tests.support.torn_parts import Torn, Writer

Window = Callable[[Writer, str, Torn], tuple[str, float | None]]
"""What is made of the squares, and what is still to be multiplied by for each alpha; None where k
and alpha are in it."""


def channels_first(window: Window) -> Window:
    """Between two Transposes where the channels are last."""

    def moved(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
        if not how.last:
            return window(writer, squares, how)
        rank = len(how.shape) + 1
        first = writer.op("Transpose", squares, perm=[0, rank - 1, *range(1, rank - 1)])
        turned = replace(how, shape=(how.shape[-1], *how.shape[:-1]), last=False)
        made, rest = window(writer, first, turned)
        return writer.op("Transpose", made, perm=[0, *range(2, rank), 1]), rest

    return moved


def pool(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """As PyTorch: Reshape, Pad, AveragePool, Squeeze."""
    viewed = writer.reshape(squares, *_view(how))
    padded = writer.pad(viewed, _in_view(how), how.pad_value)
    return _pooled(writer, padded, how, {})


def two_pads(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """As the TorchScript exporter at opset 9, with a pad of the pool's own."""
    viewed = writer.reshape(squares, *_view(how))
    padded = writer.pad(writer.pad(viewed, _in_view(how)), [0] * len(_in_view(how)))
    return _pooled(writer, padded, how, {})


def pool_pads(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """As graph optimisers leave it: the pad moved into the pool."""
    viewed = writer.reshape(squares, *_view(how))
    return _pooled(writer, viewed, how, {"count_include_pad": 1})


def pool_without_padding_counted(
    writer: Writer, squares: str, how: Torn
) -> tuple[str, float | None]:
    viewed = writer.reshape(squares, *_view(how))
    return _pooled(writer, viewed, how, {"count_include_pad": 0})


def _view(how: Torn) -> list[int]:
    """(N, 1, C, ...), of at most 5 axes, as pools take no more."""
    return [0, 1, how.channels, *how.shape[1:-1][:1], -1]


def _in_view(how: Torn) -> list[int]:
    zeros = [0] * (len(_view(how)) - 3)
    return [0, 0, how.left, *zeros, 0, 0, how.right, *zeros]


def _pooled(
    writer: Writer, viewed: str, how: Torn, attributes: dict[str, int]
) -> tuple[str, float | None]:
    rest = len(_view(how)) - 3
    pads = [how.left, *[0] * rest, how.right, *[0] * rest]
    kernel = [how.size, *[1] * rest]
    more = {"pads": pads} if attributes else {}
    mean = writer.op("AveragePool", viewed, kernel_shape=kernel, **more, **attributes)
    return writer.reshape(mean, 0, *how.shape), 1.0


def pool_of_last(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """``tf.nn.avg_pool3d`` by hand, on the channels where they are."""
    viewed = writer.axes("Unsqueeze", squares, 1)
    rank = len(how.shape)
    zeros = [0] * (rank + 1)
    padded = writer.pad(viewed, [*zeros, how.left, *zeros, how.right])
    kernel = [*[1] * (rank - 1), how.size]
    mean = writer.op("AveragePool", padded, kernel_shape=kernel)
    return writer.axes("Squeeze", mean, 1), 1.0


def _slices(writer: Writer, squares: str, how: Torn) -> list[str]:
    padded = writer.pad(squares, how.widths(), how.pad_value)
    return [writer.slice(padded, how.axis, at, at + how.channels) for at in range(how.size)]


def slices(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    return writer.total(_slices(writer, squares, how)), 1 / how.size


def slices_one_by_one(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """``s = k; s = s + a * p[:, i : i + C]``, as convnets-keras."""
    total = writer.const(how.k)
    factor = writer.const(how.alpha / how.size)
    for part in _slices(writer, squares, how):
        total = writer.op("Add", total, writer.op("Mul", factor, part))
    return total, None


def sum_of_slices(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """``tf.add_n``."""
    return writer.op("Sum", *_slices(writer, squares, how)), 1 / how.size


def every_second(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """A window with steps of two: no LRN."""
    rest = len(how.shape) - how.axis
    widths = [*[0] * how.axis, 2 * how.left, *[0] * rest]
    widths += [*[0] * how.axis, 2 * how.right, *[0] * rest]
    padded = writer.pad(squares, widths)
    parts = [
        writer.slice(padded, how.axis, 2 * at, 2 * at + how.channels) for at in range(how.size)
    ]
    return writer.total(parts), 1 / how.size


def cut_window(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """The last channel is cut off before it is summed: no LRN."""
    short = writer.slice(squares, how.axis, 0, how.channels - 1)
    one_more = replace(how, right=how.right + 1)
    padded = writer.pad(short, one_more.widths())
    parts = [writer.slice(padded, how.axis, at, at + how.channels) for at in range(how.size)]
    return writer.total(parts), 1 / how.size


@channels_first
def conv(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """A 1x1 convolution with a band of ones."""
    weight = how.band.reshape(*how.band.shape, *[1] * (len(how.shape) - 1))
    return writer.op("Conv", squares, writer.const(weight)), 1 / how.size


@channels_first
def conv_with_alpha(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """As TensorFlow's converter folds it: alpha in the weights, k in the bias."""
    weight = how.band.reshape(*how.band.shape, *[1] * (len(how.shape) - 1))
    weight = weight * np.float32(how.alpha / how.size)
    bias = writer.const(np.full(how.channels, how.k))
    return writer.op("Conv", squares, writer.const(weight), bias), None


@channels_first
def conv3d(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    rest = len(how.shape) - 1
    pads = [how.left, *[0] * rest, how.right, *[0] * rest]
    ones = writer.const(np.ones((1, 1, how.size, *[1] * rest)))
    made = writer.op("Conv", writer.axes("Unsqueeze", squares, 1), ones, pads=pads)
    return writer.axes("Squeeze", made, 1), 1 / how.size


def conv1d(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """Every pixel a row of channels: Transpose, Reshape, Conv, Reshape, Transpose."""
    rank = len(how.shape) + 1
    shape = how.shape
    if not how.last:
        squares = writer.op("Transpose", squares, perm=[0, *range(2, rank), 1])
        shape = (*shape[1:], shape[0])
    rows = writer.reshape(squares, -1, 1, how.channels)
    ones = writer.const(np.ones((1, 1, how.size)))
    made = writer.reshape(writer.op("Conv", rows, ones, pads=[how.left, how.right]), -1, *shape)
    if not how.last:
        made = writer.op("Transpose", made, perm=[0, rank - 1, *range(1, rank - 1)])
    return made, 1 / how.size


def einsum(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    pixels = "hwd"[: len(how.shape) - 1]
    x, y = (f"n{pixels}c", f"n{pixels}o") if how.last else (f"nc{pixels}", f"no{pixels}")
    made = writer.op("Einsum", squares, writer.const(how.band), equation=f"{x},oc->{y}")
    return made, 1 / how.size


def matmul(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    rank = len(how.shape) + 1
    if not how.last:
        squares = writer.op("Transpose", squares, perm=[0, *range(2, rank), 1])
    made = writer.op("MatMul", squares, writer.const(how.band.T))
    if not how.last:
        made = writer.op("Transpose", made, perm=[0, rank - 1, *range(1, rank - 1)])
    return made, 1 / how.size


def cumsum(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """A running sum, and the difference of two places in it."""
    padded = writer.pad(squares, how.widths(more_left=1))
    running = writer.op("CumSum", padded, writer.const(how.axis, np.int64))
    ends = writer.slice(running, how.axis, how.size, how.size + how.channels)
    starts = writer.slice(running, how.axis, 0, how.channels)
    return writer.op("Sub", ends, starts), 1 / how.size


def unfold(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """All windows side by side on an axis of their own, and their sum."""
    padded = writer.pad(squares, how.widths())
    where = np.arange(how.channels)[:, None] + np.arange(how.size)
    windows = writer.op("Gather", padded, writer.const(where, np.int64), axis=how.axis)
    return writer.axes("ReduceSum", windows, how.axis + 1, keepdims=0), 1 / how.size


def split(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """Channel by channel."""
    names = [f"channel_{at}" for at in range(how.channels)]
    sizes = [writer.ints(*[1] * how.channels)] if how.opset >= 13 else []
    writer.nodes.append(helper.make_node("Split", [squares, *sizes], names, axis=how.axis))
    sums = [
        writer.op("Sum", *names[max(0, at - how.left) : at + how.right + 1])
        for at in range(how.channels)
    ]
    return writer.op("Concat", *sums, axis=how.axis), 1 / how.size


def pixels(writer: Writer, squares: str, _: Torn) -> tuple[str, float | None]:
    """LRN within channels: an average of 3x3 pixels."""
    attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    return writer.op("AveragePool", squares, **attributes), 1.0


def channels_and_pixels(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    weight = np.repeat(np.repeat(how.band[:, :, None, None], 3, axis=2), 3, axis=3)
    return writer.op("Conv", squares, writer.const(weight), pads=[1, 1, 1, 1]), 1 / how.size


def all_channels(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    return writer.axes("ReduceSum", squares, how.axis, keepdims=1), 1 / how.size


def groups(writer: Writer, squares: str, how: Torn) -> tuple[str, float | None]:
    """Windows of two channels side by side, which do not slide."""
    pooled = writer.reshape(squares, 0, how.channels // 2, 2, *how.shape[1:])
    total = writer.axes("ReduceSum", writer.slice(pooled, 2, 0, 2), 2, keepdims=1)
    shape = writer.ints(1, 1, 2, *[1] * (len(how.shape) - 1))
    return writer.reshape(writer.op("Expand", total, shape), 0, *how.shape), 1 / how.size


WINDOWS: dict[str, Window] = {
    "pool": channels_first(pool),
    "two pads": channels_first(two_pads),
    "pool pads": channels_first(pool_pads),
    "pool of last": pool_of_last,
    "pool without padding counted": channels_first(pool_without_padding_counted),
    "slices": slices,
    "slices one by one": slices_one_by_one,
    "sum of slices": sum_of_slices,
    "every second": every_second,
    "cut window": cut_window,
    "conv": conv,
    "conv with alpha": conv_with_alpha,
    "conv3d": conv3d,
    "conv1d": conv1d,
    "einsum": einsum,
    "matmul": matmul,
    "cumsum": cumsum,
    "unfold": unfold,
    "split": split,
    "pixels": pixels,
    "channels and pixels": channels_and_pixels,
    "all channels": all_channels,
    "groups": groups,
}

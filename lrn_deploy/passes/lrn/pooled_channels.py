"""Windows of channels that a graph averages by an AveragePool.

The pool works on the squares of x in another shape, (N, 1, C, ...), so that the channels are what
it slides over. That shape is evaluated (:mod:`.lrn.shape_values`), however the graph
computes it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lrn_deploy.passes.lrn.shape_values import ShapeValues, UnknownShapeError, constant


class NotLrnError(Exception):
    """It is no LRN, or none that can be raised; the message says why."""


class NotProvenError(NotLrnError):
    """Its operators do not tell whether it is one; the message says why."""


def pooled_window(mean: ir.Value, x: ir.Value) -> tuple[int, int]:
    """How many channels on either side are averaged: ``mean`` divides by all of them and itself.

    Args:
        mean: What an AveragePool makes, reshaped.
        x: The tensor whose squares are pooled, of rank 4.

    Raises:
        NotLrnError: If it is not the squares of x that are averaged, or not over channels alone.
        UnknownShapeError: If a shape cannot be told.
    """
    pool = pool_behind(mean)
    assert pool is not None
    pad, view = _before_pool(pool)
    squares = _unshaped(view)
    if not is_square(squares, x):
        raise NotProvenError("what is averaged is not the square of what is divided")
    shapes = ShapeValues(x)
    shapes.know(squares, shapes.x)
    dims = shapes.dims(view)
    if dims == shapes.x:
        raise NotLrnError(
            "it averages over the pixels within each channel, which ONNX's LRN cannot express"
        )
    if len(dims) < 4 or dims[:3] != (shapes.x[0], 1, shapes.x[1]):
        raise NotProvenError("what is pooled is not of shape (N, 1, C, ...)")
    window = _window(pool, pad, shapes, len(dims))
    # The pool keeps the number of channels, so it makes the shape that it was given before the pad.
    shapes.know(pool.outputs[0], dims)
    if shapes.dims(mean) != shapes.x:
        raise NotProvenError("the average does not have the shape of the input")
    return window


def pool_behind(value: ir.Value) -> ir.Node | None:
    """The AveragePool of which ``value`` is a reshaped copy."""
    node = _unshaped(value).producer()
    return node if node is not None and node.op_type == "AveragePool" and not node.domain else None


def is_square(value: ir.Value, x: ir.Value) -> bool:
    """Whether a value is ``x * x`` or ``x ** 2``."""
    node = value.producer()
    if node is None or node.domain or not node.inputs or node.inputs[0] is not x:
        return False
    if node.op_type == "Pow":
        return scalar(node.inputs[1]) == 2
    return node.op_type == "Mul" and node.inputs[1] is x


def scalar(value: ir.Value | None) -> float | None:
    """The number that a value always is; the shortest decimal that is the same in fp32."""
    array = constant(value)
    if array is None or array.size != 1 or array.ndim > 4:
        return None
    return float(str(np.float32(array.item())))


def _window(pool: ir.Node, pad: ir.Node | None, shapes: ShapeValues, rank: int) -> tuple[int, int]:
    """Channels on either side of the pool's window, if it spans channels only."""
    attributes = pool.attributes
    kernel = list(attributes["kernel_shape"].as_ints())
    spatial = rank - 2
    ones, zeros = [1] * spatial, [0] * (2 * spatial)
    size = kernel[0]
    if kernel != [size, *ones[1:]]:
        raise NotLrnError(f"its pool has the kernel {kernel}, and not one over channels alone")
    for name, plain in (("strides", ones), ("dilations", ones)):
        if name in attributes and list(attributes[name].as_ints()) != plain:
            raise NotLrnError(f"its pool has {name} {list(attributes[name].as_ints())}")
    if attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        raise NotLrnError("its pool computes its own padding")
    pads = list(attributes["pads"].as_ints()) if "pads" in attributes else zeros
    if any(pads) and not attributes.get_int("count_include_pad", 0):
        raise NotLrnError("its pool leaves the padding out of the average")
    widths = np.array([*pads[:spatial], *pads[spatial:]]).reshape(2, spatial)
    if pad is not None:
        widths = widths + _pad_widths(pad, shapes, rank)[:, 2:]
    if widths[:, 1:].any():
        raise NotLrnError("more than its channels is padded")
    left, right = (int(width) for width in widths[:, 0])
    if left + right != size - 1:
        raise NotLrnError(f"its padding of {left} and {right} does not fit the size {size}")
    return left, right


def _pad_widths(pad: ir.Node, shapes: ShapeValues, rank: int) -> NDArray[np.int64]:
    """Zeros that a Pad puts before and behind each axis; shape (2, rank)."""
    filled = pad.inputs[2] if len(pad.inputs) > 2 else None
    if pad.attributes.get_string("mode", "constant") != "constant" or (
        filled is not None and scalar(filled) != 0
    ):
        raise NotLrnError("its channels are not padded with zeros")
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        raise NotProvenError("its padding names axes")
    widths = shapes.numbers(_input(pad, 1)).reshape(-1)
    if widths.size != 2 * rank or (widths < 0).any() or widths.reshape(2, rank)[:, :2].any():
        raise NotLrnError("more than its channels is padded")
    return widths.reshape(2, rank).astype(np.int64)


def _before_pool(pool: ir.Node) -> tuple[ir.Node | None, ir.Value]:
    """The Pad in front of a pool, if there is one, and what is padded and pooled."""
    value = _input(pool, 0)
    node = value.producer()
    if node is not None and node.op_type == "Pad" and not node.domain:
        return node, _input(node, 0)
    return None, value


def _unshaped(value: ir.Value) -> ir.Value:
    """The value whose elements, in the same order, ``value`` has in another shape."""
    node = value.producer()
    if node is None or node.domain:
        return value
    if node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"):
        return _unshaped(_input(node, 0))
    if node.op_type == "If":
        ways = {_unshaped(branch.as_graph().outputs[0]) for branch in node.attributes.values()}
        return _unshaped(ways.pop()) if len(ways) == 1 else value
    return value


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        raise UnknownShapeError(f"a {node.op_type} has no input {index}, as in opsets before 13")
    return value

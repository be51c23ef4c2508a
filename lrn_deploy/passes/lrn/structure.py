"""An LRN proven by its operators alone: ``x / (k + alpha * window of squares) ** beta``.

The window is an AveragePool over the channels (:mod:`.lrn.pooled_channels`), or slices that are
added or a convolution (:mod:`.lrn.channel_sums`). Nothing is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import onnx_ir as ir

from lrn_deploy.lrn import Convention, LrnSpec
from lrn_deploy.passes.lrn.channel_sums import summed_window
from lrn_deploy.passes.lrn.pooled_channels import (
    NotLrnError,
    NotProvenError,
    is_square,
    pool_behind,
    pooled_window,
    scalar,
)
from lrn_deploy.passes.lrn.probing.curve import decimal
from lrn_deploy.passes.lrn.shape_values import ShapeValues

_MAKES_DENOMINATOR = frozenset({"Pow", "Sqrt", "Add", "Mul"})
_ROUNDED = 2.0**-23
"""How far an alpha may lie from the written one, which was rounded, divided and rounded again."""


@dataclass(frozen=True)
class Quotient:
    """``x / base ** beta``."""

    x: ir.Value
    base: ir.Value
    beta: float

    @classmethod
    def of(cls, div: ir.Node) -> Quotient | None:
        """The parts of a division; None if it is none, or not by such a power."""
        if div.op_type != "Div" or div.domain:
            return None
        x, base = div.inputs
        beta: float | None = 1.0
        node = None if base is None else base.producer()
        if node is not None and node.op_type == "Sqrt":
            beta, base = 0.5, node.inputs[0]
        elif node is not None and node.op_type == "Pow":
            beta, base = scalar(node.inputs[1]), node.inputs[0]
        if x is None or base is None or beta is None:
            return None
        return cls(x, base, beta)


def may_be_proven(node: ir.Node) -> bool:
    """Whether a node is worth a look, which needs every shape of the graph."""
    if node.op_type != "Div" or node.domain or len(node.inputs) != 2 or node.inputs[1] is None:
        return False
    maker = node.inputs[1].producer()
    return maker is not None and maker.op_type in _MAKES_DENOMINATOR


class Proven(NamedTuple):
    """An LRN's parameters, and which channels its size means."""

    spec: LrnSpec
    convention: Convention


def prove(quotient: Quotient) -> Proven | None:
    """The parameters, if it is an LRN; None if it does not look like one.

    Raises:
        NotLrnError: If it looks like one and is none.
        NotProvenError: If it looks like one, and its operators do not tell.
        UnknownShapeError: If a shape cannot be told.
        BadInputError: If a parameter is no number.
    """
    x = quotient.x
    k, value = _constant_operand(quotient.base, "Add", 0.0)
    alpha, value = _constant_operand(value, "Mul", 1.0)
    if value is not None and pool_behind(value) is not None:
        if x.shape is None or len(x.shape) != 4:
            raise NotProvenError(f"its input has shape {x.shape}, and only rank 4 is proven")
        if x.dtype != ir.DataType.FLOAT:
            raise NotLrnError(f"it computes in {x.dtype}, and only FLOAT is raised")
        left, right = pooled_window(value, x)
        return spec_of_window(left, right, alpha, quotient.beta, k)
    if x.shape is None or len(x.shape) != 4 or x.dtype != ir.DataType.FLOAT:
        return None
    if not isinstance(x.shape[1], int):
        return None
    window = summed_window(quotient.base, partial(is_square, x=x), ShapeValues(x))
    if window is None:
        return None
    alpha = decimal(window.factor * (window.left + 1 + window.right), _ROUNDED)
    return spec_of_window(window.left, window.right, alpha, quotient.beta, window.k)


def spec_of_window(left: int, right: int, alpha: float, beta: float, k: float) -> Proven:
    """The parameters of a window of so many channels on either side, PyTorch's or else ONNX's.

    Raises:
        NotLrnError: If neither has such a window; the message has the parameters.
    """
    size = left + right + 1
    conventions: tuple[Convention, ...] = ("torch", "onnx")
    for convention in conventions:
        spec = LrnSpec(size, alpha, beta, k)
        if spec.offsets(convention) == (-left, right):
            return Proven(spec, convention)
    raise NotLrnError(
        f"its window of {size} has {left} channels on one side and {right} on the other "
        f"(alpha {alpha:g}, beta {beta:g}, k {k:g})"
    )


def _constant_operand(
    value: ir.Value | None, op_type: str, neutral: float
) -> tuple[float, ir.Value | None]:
    """The constant of a commutative operator and its other operand; neutral without one."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == op_type and not node.domain:
        for side, other in (node.inputs, reversed(node.inputs)):
            number = scalar(side)
            if number is not None:
                return number, other
    return neutral, value

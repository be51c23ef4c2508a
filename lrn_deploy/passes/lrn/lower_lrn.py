"""Pass ``lower_lrn``: an LRN node -> elementwise operators, which ONNX Runtime's CPU runs faster.

Before::

    x -> LRN(size, alpha, beta, bias) -> y

After, with ``n`` for the size and ``C`` for the channels (``slices``, the default)::

    x -> Mul(x, x) -> Pad(n // 2 channels of zeros on both sides) -> sum of Slices of C channels
      -> Mul(alpha / n) -> Add(bias) -> b -> Sqrt -> Mul(b) -> Sqrt -> Div(x, .) -> y

or, where that is asked for (``band``)::

    x -> Mul(x, x) -> Conv 1x1 (a C x C band of alpha / n; bias) -> b -> ... -> Div(x, .) -> y

The runtime's own kernel keeps a running sum over the channels and raises each value to a power. The
sum carries the rounding error of the loudest channel into all later ones, and one infinite value
makes every later channel NaN. Here each window is summed afresh, and a power that is a multiple of
1/4 is made of square roots: ``b ** 0.75 = sqrt(b * sqrt(b))``, which overflows above b = 4.8e25
(inputs of 1e15 at AlexNet's parameters). Any other power takes a ``Pow``.

At AlexNet's parameters the relative error stays below 4e-7, where the kernel's reaches 1e-4 for
inputs of 1e4; where LRN hardly acts both are within the last two bits, and either may be closer.

- ``slices`` adds a window of 5 as ``(a + b) + (c + d) + e``, where the pairs serve two windows each
  (three additions; ``log2`` of the size in general). A value reaches its own windows only.
- ``band`` multiplies every channel by every other, most of them by 0, and 0 times infinity is NaN:
  one infinite value spreads over all channels. It is there to be measured, not to be deployed.

Requires: rank 4, an odd size, beta above 0, fp32, a fixed number of channels, opset 13; other nodes
are left alone, and the result says why. Ensures: the names of x and y are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir import tape as ir_tape
from onnx_ir.passes import common as ir_passes

from lrn_deploy.lrn import LrnSpec

Form = Literal["slices", "band"]

_OLDEST_OPSET = 13
_LARGEST_BETA_OF_ROOTS = 2.0
_CHANNELS = 1
"""The axis of an LRN's channels."""


@dataclass(frozen=True)
class Lowered:
    """What became of one LRN node.

    Attributes:
        spec: Its parameters.
        form: How it is written now; None if it was left alone.
        reason: Why it was left alone; empty if it was not.
        input: Name of the value that enters it.
        output: Name of the value that leaves it.
    """

    spec: LrnSpec
    form: Form | None
    reason: str
    input: str
    output: str


def lower_lrn(model: ir.Model, form: Form = "slices") -> list[Lowered]:
    """Lower the standard LRN nodes of a graph in place; see the module's docstring.

    Args:
        model: Changed in place. Its subgraphs and functions are not searched.
        form: How the sum over the window is written.

    Returns:
        What became of each LRN node, in graph order.
    """
    nodes = [node for node in model.graph if node.op_type == "LRN" and node.domain == ""]
    if any(_entering(node).shape is None or _entering(node).dtype is None for node in nodes):
        ir_passes.ShapeInferencePass()(model)
    return [_lower(model.graph, node, form) for node in nodes]


def reason_to_leave(spec: LrnSpec, x: ir.Value, opset: int) -> str:
    """Why the LRN of ``x`` cannot be lowered; empty if it can."""
    if x.shape is None or x.dtype is None:
        return "the shape or the type of its input is unknown"
    if len(x.shape) != 4:
        return f"its input has rank {len(x.shape)}, and only rank 4 is lowered"
    if not isinstance(x.shape[_CHANNELS], int):
        return "its number of channels is not fixed"
    if x.dtype != ir.DataType.FLOAT:
        return f"it computes in {x.dtype.name}, and only FLOAT is lowered"
    if spec.size % 2 == 0:
        return f"its size {spec.size} is even, and only odd windows mean the same everywhere"
    if spec.beta <= 0:
        return f"its beta is {spec.beta:g}, and only positive ones are lowered"
    if opset < _OLDEST_OPSET:
        return f"the graph has opset {opset}, and {_OLDEST_OPSET} or newer is needed"
    return ""


def _lower(graph: ir.Graph, node: ir.Node, form: Form) -> Lowered:
    x, y = _entering(node), node.outputs[0]
    spec = LrnSpec(
        size=node.attributes["size"].as_int(),
        alpha=node.attributes.get_float("alpha", 1e-4),
        beta=node.attributes.get_float("beta", 0.75),
        k=node.attributes.get_float("bias", 1.0),
    )
    reason = reason_to_leave(spec, x, graph.opset_imports.get("", 0))
    if reason:
        return Lowered(spec, None, reason, str(x.name), str(y.name))
    assert x.shape is not None
    channels = x.shape[_CHANNELS]
    assert isinstance(channels, int)
    tape = _Tape(graph, f"{y.name}_lowered", x.shape)
    squares = tape.op("Mul", [x, x], "squares")
    if form == "slices":
        base = _sum_of_slices(tape, squares, channels, spec)
    else:
        base = _band(tape, squares, channels, spec)
    result = tape.op("Div", [x, _power(tape, base, spec.beta)], "quotient")
    result.name = None  # it gets the name of y
    for new in tape.nodes:
        new.metadata_props.update(node.metadata_props)
    entered, left = str(x.name), str(y.name)
    ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, [y], [result])
    return Lowered(spec, form, "", entered, left)


def _entering(node: ir.Node) -> ir.Value:
    x = node.inputs[0]
    assert x is not None
    return x


class _Tape(ir_tape.Tape):
    """Records the operators of one LRN, with names that are its own.

    Args:
        graph: Where the constants go.
        prefix: First part of all names.
        shape: Shape of the LRN's input.
    """

    def __init__(self, graph: ir.Graph, prefix: str, shape: ir.Shape) -> None:
        super().__init__(graph)
        self.prefix = prefix
        self.shape = shape

    def op(  # type: ignore[override] # the name is required here
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        name: str,
        *,
        channels: int | None = None,
    ) -> ir.Value:
        """The output of a new node, of the LRN's shape but for the number of ``channels``."""
        name = f"{self.prefix}_{name}"
        value = super().op(op_type, inputs, name=name)
        axes = list(self.shape)
        if channels is not None:
            axes[_CHANNELS] = channels
        value.name, value.dtype, value.shape = name, ir.DataType.FLOAT, ir.Shape(axes)
        return value

    def constant(self, values: Any, name: str, dtype: type = np.float32) -> ir.Value:
        """A new initializer."""
        return self.initializer(ir.tensor(np.asarray(values, dtype), name=f"{self.prefix}_{name}"))

    def slice(self, x: ir.Value, start: int, length: int, name: str) -> ir.Value:
        """Channels ``start`` to ``start + length`` of ``x``; ``x`` itself if that is all of it."""
        assert x.shape is not None
        if (start, length) == (0, x.shape[_CHANNELS]):
            return x
        bounds = [
            self.constant([at], f"{name}_{what}", np.int64)
            for what, at in (("start", start), ("end", start + length), ("axis", _CHANNELS))
        ]
        return self.op("Slice", [x, *bounds], name, channels=length)


def _sum_of_slices(tape: _Tape, squares: ir.Value, channels: int, spec: LrnSpec) -> ir.Value:
    """``k + alpha / size * sum over the window``, from sums over 1, 2, 4, ... channels."""
    radius, size = spec.size // 2, spec.size
    # Channel c of sums[w] is the sum of w padded channels from c on; a window of 5 is 4 + 1.
    widths = [2**bit for bit in range(size.bit_length())]
    starts, at = dict[int, int](), 0
    for width in reversed(widths):
        if size & width:
            starts[width] = at
            at += width
    lengths = dict.fromkeys(widths, 0)
    for width in reversed(widths):
        if width in starts:
            lengths[width] = starts[width] + channels
        if width < widths[-1]:
            lengths[width] = max(lengths[width], lengths[2 * width] + width)
    sums = squares
    if radius:
        pads = [0, radius, 0, 0, 0, radius, 0, 0]
        sums = tape.op(
            "Pad",
            [squares, tape.constant(pads, "pads", np.int64)],
            "padded",
            channels=channels + 2 * radius,
        )
    parts = []
    for width in widths:
        if width in starts:
            parts.append(tape.slice(sums, starts[width], channels, f"part{width}"))
        if width < widths[-1]:
            length = lengths[2 * width]
            low = tape.slice(sums, 0, length, f"low{width}")
            high = tape.slice(sums, width, length, f"high{width}")
            sums = tape.op("Add", [low, high], f"sum{2 * width}", channels=length)
    total = parts.pop()
    for at, part in enumerate(reversed(parts)):
        total = tape.op("Add", [total, part], f"total{at}")
    energy = tape.op("Mul", [total, tape.constant(spec.alpha / size, "alpha")], "energy")
    return tape.op("Add", [energy, tape.constant(spec.k, "k")], "base")


def _band(tape: _Tape, squares: ir.Value, channels: int, spec: LrnSpec) -> ir.Value:
    """The same as a 1x1 convolution."""
    weight: NDArray[np.float32] = np.zeros((channels, channels, 1, 1), np.float32)
    for channel in range(channels):
        weight[channel, list(spec.window(channel, channels))] = spec.alpha / spec.size
    bias = np.full(channels, spec.k)
    return tape.op(
        "Conv", [squares, tape.constant(weight, "band"), tape.constant(bias, "k")], "base"
    )


def _power(tape: _Tape, base: ir.Value, beta: float) -> ir.Value:
    """``base ** beta``, from square roots if beta is a multiple of 1/4 and not large."""
    quarters = round(4 * beta)
    if quarters != 4 * beta or beta > _LARGEST_BETA_OF_ROOTS:
        return tape.op("Pow", [base, tape.constant(beta, "beta")], "power")
    if quarters % 4 == 0:
        return _product(tape, [base] * (quarters // 4), "power")
    root = tape.op("Sqrt", [base], "root")
    part = root
    if quarters % 4 == 1:
        part = tape.op("Sqrt", [root], "fourth_root")
    elif quarters % 4 == 3:
        # sqrt(b * sqrt(b)) rounds less than sqrt(b) * sqrt(sqrt(b)): the last root halves errors.
        part = tape.op("Sqrt", [tape.op("Mul", [base, root], "cube_of_root")], "three_quarters")
    return _product(tape, [*[base] * (quarters // 4), part], "power")


def _product(tape: _Tape, factors: Sequence[ir.Value], name: str) -> ir.Value:
    product = factors[0]
    for at, factor in enumerate(factors[1:]):
        product = tape.op("Mul", [product, factor], f"{name}{at}")
    return product

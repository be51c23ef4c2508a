"""Pass ``legalize_lrn``: the exporter's LRN in PyTorch's convention -> standard ONNX operators.

Before, one node of the exporter's own domain for each LRN call::

    x -> lrn_deploy::LocalResponseNorm(size, alpha, beta, k) -> y

and an attribute ``convention``, which is ``cross-map`` where ``nn.CrossMapLRN2d`` was called.

After, the first of these forms that is right and that ONNX Runtime's CPU provider runs:

``kept`` (rank 4)::

    x -> LRN -> y

``reshaped`` (any other rank; the operator's kernels take rank 4 only)::

    x -> Reshape(N, C, -1, 1) -> LRN -> Reshape(shape of x) -> y

``written out`` (:func:`reason_to_write_out` says when)::

    x -> Mul(x, x) -> Reshape(N, 1, C, -1) -> AveragePool(size x 1) -> Reshape(shape of x)
      -> Mul(alpha) -> Add(k) -> Pow(beta) -> Div(x, .) -> y

The AveragePool counts its padding, so it divides by the nominal size at the borders too, as the
definition does, and its uneven padding gives PyTorch's window for even sizes. The squares of
channel 0, which no window of ``nn.CrossMapLRN2d`` lets go, are added behind it::

    squares -> Slice(channel 0) -> Mul(alpha / size for the channels whose window lies above 0)

Requires: the rank of x is known, and its channel axis is static. Ensures: no node of the domain
is left; the names of x and y are kept.

:func:`write_out_lrn` gives the last form to LRN nodes that a runtime cannot take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir
from onnx_ir import tape as ir_tape
from onnx_ir.passes import common as ir_passes

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import Convention, LrnSpec
from lrn_deploy.passes.lrn.lrn_written_out import reshape, reshape_like, written_out

DOMAIN = "lrn_deploy"
OP_TYPE = "LocalResponseNorm"

MAX_RUNNING_SUM_GAIN = 1e-3
"""Largest ``alpha * beta / k`` for which a bare LRN node is kept.

Runtimes compute LRN's window as a running sum in fp32, which keeps the rounding error of the
largest channel it has passed. Relative to the output this error grows like ``alpha * beta / k``
times the largest square: at 1e-3 and values of 100 it stays below 1e-5 (AlexNet: 3.75e-5).
"""

Form = Literal["kept", "reshaped", "written out"]

_CROSS_MAP = (
    "torch's CrossMapLRN2d never lets channel 0 leave its sum, so from channel {channel} on it is "
    "no LRN, and the network's numbers are kept; for one standard LRN node train with "
    "nn.LocalResponseNorm in its place, or check the accuracy with it, and export again"
)


@dataclass(frozen=True)
class Legalized:
    """What became of one LRN node.

    Attributes:
        spec: Its parameters.
        convention: Which channels the size means in ``spec``.
        form: How it is written now.
        reason: Why it is not a bare LRN node; empty if it is.
        input: The value that enters it.
        output: The value that leaves it.
    """

    spec: LrnSpec
    form: Form
    reason: str
    input: ir.Value
    output: ir.Value
    convention: Convention = "torch"


def reason_to_write_out(spec: LrnSpec, convention: Convention = "torch") -> str:
    """Why a bare ONNX LRN node would be wrong or refused for ``spec``; empty if it would not."""
    if spec.size % 2 == 0 and convention == "onnx":
        return f"size {spec.size} is even, which ONNX Runtime does not take"
    if spec.size % 2 == 0:
        return (
            f"size {spec.size} is even, and the window of an even ONNX LRN lies one channel "
            "further to the right than PyTorch's"
        )
    if spec.alpha <= 0 or spec.beta <= 0:
        name, value = ("alpha", spec.alpha) if spec.alpha <= 0 else ("beta", spec.beta)
        return f"{name} is {value:g}, and ONNX Runtime takes positive values only"
    if spec.k <= 0 or spec.alpha * spec.beta / spec.k > MAX_RUNNING_SUM_GAIN:
        return (
            f"alpha {spec.alpha:g}, beta {spec.beta:g} and k {spec.k:g} make the running sum of "
            "the runtimes' LRN kernels lose digits"
        )
    return ""


def choose_form(spec: LrnSpec, rank: int) -> tuple[Form, str]:
    """The form for an LRN on an input of ``rank`` axes, and the reason if it is not kept."""
    reason = reason_to_write_out(spec)
    if reason:
        return "written out", reason
    if rank != 4:
        return "reshaped", f"the input has rank {rank}, and LRN kernels take rank 4 only"
    return "kept", ""


def legalize_lrn(model: ir.Model) -> list[Legalized]:
    """Rewrite every LRN node of the exporter's domain in place; see the module's docstring.

    Args:
        model: Changed in place.

    Returns:
        What became of each node, in graph order.

    Raises:
        BadInputError: If a node's input has an unknown rank or a dynamic channel axis.
    """
    done = [
        _legalize(model.graph, node)
        for node in list(model.graph)
        if node.domain == DOMAIN and node.op_type == OP_TYPE
    ]
    model.graph.opset_imports.pop(DOMAIN, None)
    return done


def write_out_lrn(model: ir.Model, why: Callable[[LrnSpec, int], str]) -> list[Legalized]:
    """Write out the standard LRN nodes that a runtime cannot take, in place.

    The window of an even size is ONNX's. A node of another type than fp32 is written out in fp32
    between casts. Subgraphs are not searched.

    Args:
        model: Changed in place.
        why: Gives the reason to write out an LRN on an input of that rank; empty to leave it.

    Returns:
        What became of each LRN node, in graph order.

    Raises:
        BadInputError: If an LRN's input has an unknown rank or a dynamic channel axis.
    """
    nodes = [node for node in model.graph if node.op_type == "LRN" and node.domain == ""]
    if any(node.inputs[0] is None or node.inputs[0].shape is None for node in nodes):
        ir_passes.ShapeInferencePass()(model)
    return [_write_out(model.graph, node, why) for node in nodes]


def _write_out(graph: ir.Graph, node: ir.Node, why: Callable[[LrnSpec, int], str]) -> Legalized:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    spec = LrnSpec(
        size=node.attributes["size"].as_int(),
        alpha=node.attributes.get_float("alpha", 1e-4),
        beta=node.attributes.get_float("beta", 0.75),
        k=node.attributes.get_float("bias", 1.0),
    )
    reason = why(spec, len(_shape(node)))
    if not reason:
        return Legalized(spec=spec, form="kept", reason="", input=x, output=y)
    return _replace(graph, node, spec, "written out", reason, "onnx")


def _legalize(graph: ir.Graph, node: ir.Node) -> Legalized:
    spec = LrnSpec(
        size=node.attributes["size"].as_int(),
        alpha=node.attributes["alpha"].as_float(),
        beta=node.attributes["beta"].as_float(),
        k=node.attributes["k"].as_float(),
    )
    shape = _shape(node)
    form, reason = choose_form(spec, len(shape))
    if node.attributes.get_string("convention", "torch") == "cross-map":
        channels = shape[1]
        assert isinstance(channels, int)
        differs = spec.first_difference(channels, "cross-map", "torch")
        if differs is not None:
            reason = _CROSS_MAP.format(channel=differs)
            return _replace(graph, node, spec, "written out", reason, "cross-map")
    return _replace(graph, node, spec, form, reason, "torch")


def _shape(node: ir.Node) -> ir.Shape:
    """The shape of an LRN's input, which is that of its output."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    shape = x.shape if x.shape is not None else y.shape
    if shape is None or len(shape) < 3 or not isinstance(shape[1], int):
        raise BadInputError(
            f"The LRN '{node.name}' has an input of shape {shape}; its rank must be at least 3 "
            "and its number of channels fixed.",
            "Export the network for inputs of one number of channels.",
        )
    return shape


def _replace(
    graph: ir.Graph, node: ir.Node, spec: LrnSpec, form: Form, reason: str, convention: Convention
) -> Legalized:
    """Put ``form`` in the place of ``node``."""
    x, y, name = node.inputs[0], node.outputs[0], str(node.name)
    assert x is not None
    shape = _shape(node)
    tape = ir_tape.Tape(graph)
    if form == "written out":
        result = written_out(tape, x, shape, spec, name, convention)
    else:
        result = (_kept if form == "kept" else _reshaped)(tape, x, shape, spec, name)
    for new in tape.nodes:
        new.metadata_props.update(node.metadata_props)
    ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, [y], [result])
    return Legalized(spec, form, reason, x, result, convention)


def _kept(tape: ir_tape.Tape, x: ir.Value, _shape: ir.Shape, spec: LrnSpec, name: str) -> ir.Value:
    attributes = {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "bias": spec.k}
    return tape.op("LRN", [x], attributes, name=name)


def _reshaped(
    tape: ir_tape.Tape, x: ir.Value, shape: ir.Shape, spec: LrnSpec, name: str
) -> ir.Value:
    flat = reshape(tape, x, [0, shape[1], -1, 1], f"{name}_flat")
    normed = _kept(tape, flat, shape, spec, name)
    normed.name = f"{name}_flat_normed"
    return reshape_like(tape, normed, x, shape, f"{name}_back")

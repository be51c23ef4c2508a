"""The LRN probe: one LRN layer of an artifact, run alone where LRN acts, against its definition.

Inside a network with ordinary inputs LRN hardly does anything, so a fault in it hides. Here the
piece of the artifact's graph between the layer's input and output is cut out and run on amplitudes
from 1e-3 to 1e4. The truth is the float64 reference of the layer's spec in the manifest, which was
read from PyTorch or proven of the network's operators, and never what the graph's own attributes
say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from lrn_deploy import lrn
from lrn_deploy.bundle import LrnLayer
from lrn_deploy.errors import DamagedError
from lrn_deploy.parity import graph
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.metrics import Metrics, compare

Array = NDArray[Any]
Floats = NDArray[np.float64]

AMPLITUDES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3, 1e4)
_SIDE = 3
"""Length of the axes behind the channels, where the graph takes any."""
_DEFAULT_CHANNELS = 32
_FIXING = frozenset({"Reshape", "Expand", "Tile", "Resize"})
"""Operators that may hold the layer's own size as a constant."""


class Runner(Protocol):
    """Whatever runs a graph: the part of a backend's session that the probe needs."""

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Outputs by name."""
        ...


Load = Callable[[bytes], AbstractContextManager[Runner]]
"""Makes a runner of a serialized ONNX model."""


@dataclass(frozen=True)
class ProbeResult:
    """One amplitude's answer.

    Attributes:
        amplitude: Standard deviation of the inputs; None if the layer could not be run at all.
        metrics: The distance from the float64 reference.
        verdict: ``limited`` means that the graph is right and the runtime's own kernel loses the
            digits: a clean LRN node of the same parameters gives the same values there.
            ``skipped`` means that the runtime runs neither the layer alone nor such a node.
        reason: What is wrong, or which limit was met; empty for ``pass``.
    """

    amplitude: float | None
    metrics: Metrics | None
    verdict: Literal["pass", "limited", "fail", "skipped"]
    reason: str = ""


def amplitudes(spec: lrn.LrnSpec) -> tuple[float, ...]:
    """What a layer is probed at: :data:`AMPLITUDES`, and the one at which its energy equals k."""
    if spec.alpha > 0 and spec.k > 0:
        turning = math.sqrt(spec.k / spec.alpha)
        if 1e-6 < turning < 1e9:
            return tuple(sorted({*AMPLITUDES, float(f"{turning:.2g}")}))
    return AMPLITUDES


def probe_inputs(shape: tuple[int, ...], spec: lrn.LrnSpec, seed: int = 0) -> Floats:
    """Inputs of every amplitude, two rows each, in float64.

    The first row is normal noise. The second is what a ReLU leaves of noise whose channels differ
    by up to a factor of 100, as those of trained networks do.

    Args:
        shape: Channels and the axes behind them.
        spec: The layer's parameters.
        seed: Seed of the generator.

    Returns:
        Shape (2 * amplitudes, *shape).
    """
    rng = np.random.default_rng(seed)
    channels = 10 ** rng.uniform(-2, 0, (shape[0], *(1,) * (len(shape) - 1)))
    rows = []
    for amplitude in amplitudes(spec):
        rows.append(amplitude * rng.standard_normal(shape))
        rows.append(amplitude * channels * np.maximum(rng.standard_normal(shape), 0))
    return np.stack(rows)


def probe_layer(
    model: onnx.ModelProto, layer: LrnLayer, load: Load, budget: Budget
) -> tuple[ProbeResult, ...]:
    """Probe one LRN layer of a graph.

    Args:
        model: The artifact's graph.
        layer: The layer as the manifest has it.
        load: The backend that runs the pieces.
        budget: Bounds of each amplitude.

    Returns:
        One result for each amplitude, or a single one that says why there are none.
    """
    try:
        piece, shape = _piece(model, layer)
    except graph.CannotCutError as error:
        return (_impossible(error.message),)
    dtype = helper.tensor_dtype_to_np_dtype(piece.graph.input[0].type.tensor_type.elem_type)
    x = probe_inputs(shape, layer.spec).astype(dtype)
    try:
        with load(piece.SerializeToString()) as session:
            y = session.run({layer.input: x})[layer.output]
    except DamagedError as error:
        if _has_kernel(piece, layer.spec, x) and _run_clean(x, layer.spec, load) is None:
            reason = f"the runtime runs no LRN of these parameters alone: {error.message}"
            return (ProbeResult(None, None, "skipped", reason),)
        return (_impossible(error.message),)
    if y.shape != x.shape:
        return (_impossible(f"It makes shape {list(y.shape[1:])} of {list(x.shape[1:])}."),)
    return _judge(piece, layer, x, y, load, budget)


def _impossible(reason: str) -> ProbeResult:
    return ProbeResult(None, None, "fail", f"The layer could not be probed: {reason}")


def _judge(
    piece: onnx.ModelProto,
    layer: LrnLayer,
    x: Array,
    y: Array,
    load: Load,
    budget: Budget,
) -> tuple[ProbeResult, ...]:
    spec = layer.spec
    truth = lrn.reference(x, spec, layer.convention)
    clean: Array | None = None
    results = []
    for at, amplitude in enumerate(amplitudes(spec)):
        rows = slice(2 * at, 2 * at + 2)
        metrics = compare(y[rows], truth[rows])
        if budget.holds(metrics):
            results.append(ProbeResult(amplitude, metrics, "pass"))
            continue
        if clean is None and _has_kernel(piece, spec, x):
            clean = _run_clean(x, spec, load)
        if clean is not None and budget.holds(compare(y[rows], clean[rows])):
            reason = "a clean LRN node of these parameters is as far off: the runtime's own kernel"
            results.append(ProbeResult(amplitude, metrics, "limited", reason))
        else:
            reason = "the layer does not compute the LRN of the network"
            results.append(ProbeResult(amplitude, metrics, "fail", reason))
    return tuple(results)


def _piece(model: onnx.ModelProto, layer: LrnLayer) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    """The layer's piece of the graph, and the shape to run it at: small if it takes any size."""
    channels = layer.shape[1] if isinstance(layer.shape[1], int) else _DEFAULT_CHANNELS
    own = tuple(axis if isinstance(axis, int) else _SIDE for axis in layer.shape[2:])
    piece = graph.between(model, layer.input, layer.output, ["batch", channels, *own])
    if _FIXING & set(graph.operators(piece)):
        return piece, (channels, *own)
    axes = [f"axis{at}" for at in range(len(own))]
    piece = graph.between(model, layer.input, layer.output, ["batch", channels, *axes])
    return piece, (channels, *(_SIDE for _ in own))


def _has_kernel(piece: onnx.ModelProto, spec: lrn.LrnSpec, x: Array) -> bool:
    """Whether the piece leaves LRN to the runtime's own kernel, as a clean node would."""
    return "LRN" in graph.operators(piece) and spec.size % 2 == 1 and x.dtype == np.float32


def _run_clean(x: Array, spec: lrn.LrnSpec, load: Load) -> Array | None:
    """What the runtime's own kernel makes of ``x``; None if it refuses."""
    flat = x.reshape(x.shape[0], x.shape[1], -1, 1)
    try:
        with load(graph.single_lrn(spec, x.shape[1]).SerializeToString()) as session:
            return session.run({"x": flat})["y"].reshape(x.shape)
    except DamagedError:
        return None

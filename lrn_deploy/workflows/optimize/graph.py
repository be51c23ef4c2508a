"""Making the graph of a variant: the passes of a recipe, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.passes.fold_preprocessing import fold_preprocessing
from lrn_deploy.passes.half_precision import half_precision
from lrn_deploy.passes.lrn.lower_lrn import lower_lrn
from lrn_deploy.passes.lrn.lrn_blocks import Bounds
from lrn_deploy.passes.quantization.observe import Evaluate, serialize
from lrn_deploy.passes.quantization.quantize import quantize
from lrn_deploy.passes.quantization.quantize_nncf import quantize_nncf
from lrn_deploy.passes.quantization.quantize_weights import Bits, quantize_weights
from lrn_deploy.progress import Progress
from lrn_deploy.workflows.optimize.memory import Memory
from lrn_deploy.workflows.optimize.recipes import Recipe

_BATCH = 8
"""Calibration images that run at a time."""
_FOLDS = frozenset({"cpu", "openvino"})
_BLOCKS: dict[Bits, int] = {8: 128, 4: 32}
"""Weights that share a scale: of 8 bits the faster block, of 4 bits the more accurate one."""


@dataclass(frozen=True)
class CalibrationFeeds:
    """The calibration inputs as feeds of the network.

    Attributes:
        name: Name of its input.
        inputs: Of the network's dtype and shape (N, *).
        batch: The one batch size that the network takes; None if it takes any.
        digest: Tells the inputs from others.
    """

    name: str
    inputs: Array
    batch: int | None
    digest: str

    def at(self, size: int) -> list[dict[str, Array]]:
        """Feeds of exactly ``size`` rows each, the last filled up from the front."""
        rows, count = self.batch or size, len(self.inputs)
        starts = range(0, count, rows)
        taken = [[at % count for at in range(start, start + rows)] for start in starts]
        return [{self.name: self.inputs[rows_]} for rows_ in taken]


def make_graph(
    model: ir.Model,
    recipe: Recipe,
    *,
    lrn_layers: Sequence[Bounds],
    calibration: CalibrationFeeds | None,
    keep_lrn_fp32: bool,
    progress: Progress,
    memory: Memory | None = None,
) -> tuple[ir.Model, dict[str, Any]]:
    """Turn the canonical graph into a variant.

    Args:
        model: The canonical graph; it is changed.
        recipe: What the variant is made of.
        lrn_layers: The bounds of each LRN layer.
        calibration: Inputs to calibrate on; needed if the recipe is calibrated.
        keep_lrn_fp32: False computes LRN in fp16 or bf16 like the rest.
        progress: Told what goes on.
        memory: What other variants have seen of these inputs.

    Returns:
        The variant, and what is worth telling: weights that lost much, layers left alone.

    Raises:
        BadInputError: If the graph cannot be computed in this precision.
        MissingError: If ONNX Runtime, which calibrates, or the quantizer is not installed.
    """
    told: dict[str, Any] = {}
    if recipe.target in _FOLDS:
        for way in fold_preprocessing(model):
            if way.reason:
                told["preprocessing_left_alone"] = way.reason
    if recipe.calibrated:
        assert calibration is not None
        model = _quantized(model, recipe, lrn_layers, calibration, progress, memory, told)
    if recipe.half is not None:
        progress(f"casting to {recipe.half}", 0, 1)
        done = half_precision(
            model, recipe.half, lrn_layers=lrn_layers, keep_lrn_fp32=keep_lrn_fp32
        )
        if done.lossy:
            told["lossy_weights"] = done.lossy
    if recipe.lowers_lrn:
        progress("lowering LRN", 0, 1)
        left = {layer.output: layer.reason for layer in lower_lrn(model) if layer.reason}
        if left:
            told["lrn_left_alone"] = left
    return model, told


def _quantized(
    model: ir.Model,
    recipe: Recipe,
    lrn_layers: Sequence[Bounds],
    calibration: CalibrationFeeds,
    progress: Progress,
    memory: Memory | None,
    told: dict[str, Any],
) -> ir.Model:
    evaluate = _evaluator(calibration, progress, memory)
    if recipe.bits is not None:
        done = quantize_weights(model, evaluate, bits=recipe.bits, block=_BLOCKS[recipe.bits])
        left = {layer.node: layer.reason for layer in done if layer.reason}
        if len(left) == len(done):
            raise BadInputError(
                f"No fully connected layer is fit for {recipe.precision}: "
                f"{next(iter(left.values()), 'the network has none')}.",
                "Choose another --precision.",
            )
        if left:
            told["weights_left_alone"] = left
    if not recipe.int8:
        return model
    if recipe.quantizer == "nncf":
        progress("quantizing with NNCF", 0, 1)
        # It averages over what it takes for one input, so it gets one at a time.
        return quantize_nncf(model, calibration.at(1), lrn_layers=lrn_layers)
    quantize(
        model,
        evaluate,
        activations=recipe.activations,
        lrn_layers=lrn_layers,
        outputs=recipe.target == "cpu",
    )
    return model


def _evaluator(
    calibration: CalibrationFeeds, progress: Progress, memory: Memory | None
) -> Evaluate:
    """Runs graphs on the calibration images in ONNX Runtime on the CPU."""
    backend = OnnxRuntimeBackend("cpu")
    probe = backend.probe()
    if not probe.available:
        raise MissingError(
            f"int8 is calibrated with ONNX Runtime on the CPU: {probe.detail}", probe.hint
        )
    feeds = calibration.at(_BATCH)

    def evaluate(model: ir.Model) -> Iterator[dict[str, Array]]:
        RemoveUnusedNodesPass()(model)
        with backend.load(ArtifactData("calibration", "onnx", serialize(model))) as session:
            for done, feed in enumerate(feeds):
                progress("calibrating", done, len(feeds))
                yield session.run(feed)

    return evaluate if memory is None else memory.around(evaluate, calibration.digest)

"""What lower precisions cost on real weights, and what ``tune`` makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import Bundle
from lrn_deploy.parity.schema import Check
from lrn_deploy.workflows.optimize.optimize import optimize
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.tune.options import TuneOptions
from lrn_deploy.workflows.tune.tune import tune
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate

VARIANTS = (
    ("tensorrt", "fp16"),
    ("tensorrt", "bf16"),
    ("openvino", "bf16"),
    ("tensorrt", "int8"),
    ("cpu", "int8"),
    ("openvino", "int8"),
    ("cpu", "w8"),
    ("cpu", "w4"),
)
"""Targets and precisions. What is for TensorRT is judged here as ONNX Runtime computes it."""


def judged(
    bundle: Bundle, images: Path, variants: Sequence[tuple[str, str]] = VARIANTS
) -> list[dict[str, Any]]:
    """Make each variant, and give its error and agreement on a folder of photographs.

    Args:
        bundle: A network that ends in its logits; it keeps the variants.
        images: The photographs; none of them is among those that int8 is calibrated on.
        variants: Targets and precisions.
    """
    for target, precision in variants:
        bundle = optimize(bundle, OptimizeOptions(target=target, precision=precision)).bundle
    report = validate(bundle, ValidateOptions(images=images, batches=(8,), devices=("cpu",))).report
    return [
        _row(bundle, check)
        for check in report.checks
        if check.kind == "outputs" and check.inputs == "images" and check.metrics is not None
        if check.artifact
    ]


def _row(bundle: Bundle, check: Check) -> dict[str, Any]:
    assert check.metrics is not None
    return {
        "artifact": check.artifact,
        "precision": bundle.manifest.artifact(check.artifact).precision,
        "backend": check.backend,
        "relative_l2": check.metrics.relative_l2,
        "worst_relative_l2": check.metrics.worst_relative_l2,
        "top1_agreement": check.metrics.top1_agreement,
        "images": check.metrics.inputs,
        "verdict": check.verdict,
    }


def tuned(bundle: Bundle, images: Path, max_error: float) -> dict[str, Any]:
    """What ``tune`` chooses within an error, and how fast it is beside the graph as imported."""
    report = tune(bundle, TuneOptions(max_error=max_error, max_batch=1, images=images)).report
    choice = report.choice
    assert choice is not None, report.explanation
    point = choice.at(1)
    assert point is not None
    assert choice.metrics is not None
    plain = {
        candidate.backend: candidate.at(1).seconds  # type: ignore[union-attr]  # it was measured
        for candidate in report.candidates
        if candidate.artifact == "model" and candidate.at(1) is not None
        if candidate.threads == choice.threads
    }
    return {
        "max_error": max_error,
        "choice": choice.name,
        "milliseconds": 1e3 * point.seconds,
        "relative_l2": choice.metrics.relative_l2,
        "top1_agreement": choice.metrics.top1_agreement,
        "model_milliseconds": {backend: 1e3 * seconds for backend, seconds in plain.items()},
        "seconds": report.seconds,
        "foreign_cores": report.foreign_cores,
        "warnings": list(report.warnings),
    }

"""The variants that tune tries: those that this machine could run and the demand could accept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lrn_deploy.backends.registry import DEVICES, artifact_backends
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, CannotWriteError, LrnDeployError
from lrn_deploy.tuning.foresee import Plan
from lrn_deploy.tuning.report import Candidate, Demand
from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineRequest, Precision
from lrn_deploy.workflows.optimize.optimize import optimize
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.optimize.recipes import PRECISIONS, QUANTIZERS, variant_name

LEAST_ERROR = {"tf32": 2e-5, "fp16": 2e-5}
"""Relative L2 error that a precision cannot get below; others than fp32: :data:`_COARSE`."""
_COARSE = 1e-4
_RUNTIMES = {
    "cpu": {("onnxruntime", "cpu"), ("openvino", "cpu")},
    "openvino": {("openvino", "cpu")},
    "cuda": {("onnxruntime", "cuda")},
    "tensorrt": {("tensorrt", "cuda")},
}
"""For each target the backends that run what is made for it, and the kind of their device."""
_OWN_RUNTIME = {"cpu": "onnxruntime", "cuda": "onnxruntime"}
"""The backend that a target's variants are written for, where it has not the target's name."""


def possible(devices: tuple[str, ...] | None) -> list[Plan]:
    """Every variant that could run here, on ``devices``; None takes every device that is there."""
    here = {
        (backend.name, backend.device.partition(":")[0])
        for backend in artifact_backends(devices or DEVICES)
        if backend.probe().available
    }
    return [plan for plan in _plans() if _RUNTIMES[plan.target] & here]


def runs_plan(plan: Plan, backend: str) -> bool:
    """Whether a backend, ``openvino:cpu``, is the runtime that a variant's target stands for."""
    name, _, device = backend.partition(":")
    return name == _OWN_RUNTIME.get(plan.target, plan.target) and device.startswith(plan.device)


@dataclass(frozen=True)
class Made:
    """What became of a plan.

    Attributes:
        bundle: The bundle with the variant; as it was if it could not be made.
        name: Name of the artifact, an engine's if it is for TensorRT.
        reason: Why it could not be made; empty if it was, or had been before.
    """

    bundle: Bundle
    name: str
    reason: str = ""


def make(bundle: Bundle, plan: Plan, calibration: Path | None) -> Made:
    """Make a variant, unless the bundle has it already.

    Args:
        bundle: The bundle.
        plan: The variant.
        calibration: Folder of images for int8; None for images that fit the network.

    Raises:
        CannotWriteError: If the bundle cannot be written.
    """
    try:
        if plan.target == "tensorrt":
            precision = cast(Precision, plan.precision)
            request = EngineRequest(precision=precision, calibration=calibration)
            built = build_bundle_engine(bundle, request)
            return Made(built.bundle, built.name)
        options = OptimizeOptions(
            target=plan.target,
            precision=plan.precision,
            calibration=calibration if plan.precision.startswith("int8") else None,
            quantizer=plan.quantizer,
        )
        made = optimize(bundle, options)
    except CannotWriteError:
        raise
    except LrnDeployError as error:
        return Made(bundle, plan.name, error.message)
    return Made(made, plan.name)


def row(bundle: Bundle, plan: Plan, reason: str) -> Candidate:
    """A row for a variant that was not made, or is there from before and was not tried."""
    word = "not tried" if plan.name in bundle.manifest.artifacts else "not made"
    return Candidate(
        artifact=plan.name,
        sha256="",
        backend="",
        threads=0,
        precision=plan.precision,
        reason=f"{word}: {reason}",
    )


def too_coarse(precision: str, demand: Demand) -> str:
    """Why a precision cannot be within a demand; empty if it could."""
    if precision == "fp32" or demand.max_error is None:
        return ""
    least = LEAST_ERROR.get(precision, _COARSE)
    if demand.max_error >= least:
        return ""
    return f"{precision} rounds by more than the {demand.max_error:.2g} asked for"


def _plans() -> Iterator[Plan]:
    for target, precisions in PRECISIONS.items():
        for precision in precisions:
            for quantizer in QUANTIZERS:
                with suppress(BadInputError):  # it makes nothing for this target and precision
                    name = variant_name(target, precision, quantizer)
                    device = next(iter(_RUNTIMES[target]))[1]
                    yield Plan(name, target, precision, quantizer, device)

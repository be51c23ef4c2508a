"""The variants that tune tries: those that this machine could run and the demand could accept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

from lrn_deploy.backends.registry import DEVICES, artifact_backends, place, runtimes
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, CannotWriteError, LrnDeployError
from lrn_deploy.precision import PRECISIONS, QUANTIZERS, TARGETS, EnginePrecision, least_error
from lrn_deploy.tuning.demand import Demand
from lrn_deploy.tuning.foresee import Plan
from lrn_deploy.tuning.schema import Candidate
from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.optimize.memory import Memory
from lrn_deploy.workflows.optimize.optimize import optimize
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.optimize.recipes import variant_name
from lrn_deploy.workflows.outcome import Added


def possible(devices: tuple[str, ...] | None) -> list[Plan]:
    """Every variant that could run here, on ``devices``; None takes every device that is there."""
    here = {
        (backend.name, place("", backend).kind)
        for backend in artifact_backends(devices or DEVICES)
        if backend.probe().available
    }
    return [plan for plan in _plans() if runtimes(plan.target) & here]


def make(
    bundle: Bundle, plan: Plan, calibration: Path | None, memory: Memory | None = None
) -> Added | str:
    """Make a variant, unless the bundle has it already.

    Args:
        bundle: The bundle.
        plan: The variant.
        calibration: Folder of images for int8; None for images that fit the network.
        memory: What variants that were made before saw of them.

    Returns:
        The artifact, an engine if it is for TensorRT; or why it could not be made.

    Raises:
        CannotWriteError: If the bundle cannot be written.
    """
    try:
        if plan.target == "tensorrt":
            precision = cast(EnginePrecision, plan.precision)
            request = EngineOptions(precision=precision, calibration=calibration)
            return build_bundle_engine(bundle, request)
        options = OptimizeOptions(
            target=plan.target,
            precision=plan.precision,
            calibration=calibration if PRECISIONS[plan.precision].int8 else None,
            quantizer=plan.quantizer,
        )
        return optimize(bundle, options, memory=memory)
    except CannotWriteError:
        raise
    except LrnDeployError as error:
        return error.message


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
    if demand.max_error >= least_error(precision):
        return ""
    return f"{precision} rounds by more than the {demand.max_error:.2g} asked for"


def _plans() -> Iterator[Plan]:
    for target, precisions in TARGETS.items():
        for precision in precisions:
            for quantizer in QUANTIZERS:
                with suppress(BadInputError):  # it makes nothing for this target and precision
                    name = variant_name(target, precision, quantizer)
                    (device,) = {kind for _, kind in runtimes(target)}
                    yield Plan(name, target, precision, quantizer, device)

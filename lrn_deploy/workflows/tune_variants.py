"""The variants that tune tries: those that this machine could run and the demand could accept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

from lrn_deploy.backends.registry import DEVICES, artifact_backends
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, CannotWriteError, LrnDeployError
from lrn_deploy.tuning.report import Candidate, Demand
from lrn_deploy.workflows.build_engine import EngineRequest, Precision, build_bundle_engine
from lrn_deploy.workflows.optimize import optimize
from lrn_deploy.workflows.precisions import PRECISIONS, QUANTIZERS, variant_name

LEAST_ERROR = {"tf32": 1e-5, "fp16": 1e-5}
"""Relative L2 error that a precision cannot get below; others than fp32: :data:`_COARSE`."""
_COARSE = 1e-4
_RUNTIMES = {
    "cpu": {("onnxruntime", "cpu"), ("openvino", "cpu")},
    "openvino": {("openvino", "cpu")},
    "cuda": {("onnxruntime", "cuda")},
    "tensorrt": {("tensorrt", "cuda")},
}
"""For each target the backends that run what is made for it, and the kind of their device."""

Tell = Callable[[str, int, int], None]


def make_variants(
    bundle: Bundle,
    demand: Demand,
    *,
    devices: tuple[str, ...] | None,
    calibration: Path | None,
    tell: Tell,
) -> tuple[Bundle, list[Candidate]]:
    """Make every variant that could be the answer.

    Args:
        bundle: The bundle; it gains the variants, and engines where TensorRT can run them.
        demand: What is asked for.
        devices: Where to run; None takes every device that is there.
        calibration: Folder of images for int8; None for images that fit the network.
        tell: Told what goes on.

    Returns:
        The bundle, and a row for each variant that was not made, with the reason.

    Raises:
        CannotWriteError: If the bundle cannot be written.
    """
    here = {
        (backend.name, backend.device.partition(":")[0])
        for backend in artifact_backends(devices or DEVICES)
        if backend.probe().available
    }
    left_out = []
    plans = [plan for plan in _plans() if _RUNTIMES[plan[0]] & here]
    for done, (target, precision, quantizer) in enumerate(plans):
        name = variant_name(target, precision, quantizer)
        tell(f"making {name}", done, len(plans))
        reason = too_coarse(precision, demand)
        if not reason:
            try:
                bundle = _make(bundle, target, precision, quantizer, calibration)
            except CannotWriteError:
                raise
            except LrnDeployError as error:
                reason = error.message
        if (
            reason and name not in bundle.manifest.artifacts
        ):  # one from before is judged all the same
            left_out.append(
                Candidate(
                    artifact=name,
                    sha256="",
                    backend="",
                    threads=0,
                    precision=precision,
                    reason=f"not made: {reason}",
                )
            )
    return bundle, left_out


def _plans() -> Iterator[tuple[str, str, str]]:
    """Target, precision and quantizer of every variant."""
    for target, precisions in PRECISIONS.items():
        for precision in precisions:
            for quantizer in QUANTIZERS:
                with suppress(BadInputError):  # it makes nothing for this target and precision
                    variant_name(target, precision, quantizer)
                    yield target, precision, quantizer


def _make(
    bundle: Bundle, target: str, precision: str, quantizer: str, calibration: Path | None
) -> Bundle:
    if target == "tensorrt":
        request = EngineRequest(precision=cast(Precision, precision), calibration=calibration)
        return build_bundle_engine(bundle, request).bundle
    calibrated = calibration if precision.startswith("int8") else None
    return optimize(
        bundle,
        target=target,
        precision=precision,
        calibration=calibrated,
        quantizer=quantizer,
    )


def too_coarse(precision: str, demand: Demand) -> str:
    """Why a precision cannot be within a demand; empty if it could."""
    if precision == "fp32" or demand.max_error is None:
        return ""
    least = LEAST_ERROR.get(precision, _COARSE)
    if demand.max_error >= least:
        return ""
    return f"{precision} rounds by more than the {demand.max_error:.2g} asked for"

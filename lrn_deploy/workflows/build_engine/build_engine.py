"""Build a TensorRT engine of a bundle and record it there."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from lrn_deploy import __version__
from lrn_deploy.bundle import Bundle, EngineRecord, sha256, write_atomic
from lrn_deploy.errors import (
    BadInputError,
    CheckFailedError,
    MissingError,
)
from lrn_deploy.placement import MODEL
from lrn_deploy.precision import is_plain
from lrn_deploy.progress import Progress, silent
from lrn_deploy.tensorrt.build import (
    BuildRequest,
    check_batch,
)
from lrn_deploy.tensorrt.device.cuda import Device, find_device
from lrn_deploy.tensorrt.flavor import Flavor, find_flavor
from lrn_deploy.tensorrt.process import build_in_process
from lrn_deploy.tensorrt.targets import CURRENT, rtx_hint, rtx_refusal, rtx_refuses
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.build_engine.realised import realised
from lrn_deploy.workflows.build_engine.store import report_lrn, store_engine
from lrn_deploy.workflows.outcome import Added

DEFAULT_TARGETS = ("sm86", "sm89", "sm120")
"""What tensorrt-rtx builds for on a machine without a GPU: the GeForce RTX 30, 40 and 50."""


def build_bundle_engine(
    bundle: Bundle, options: EngineOptions, progress: Progress = silent
) -> Added:
    """Build an engine, or find that the bundle has it already.

    Args:
        bundle: The bundle; it gains an artifact, and for the precisions fp16, bf16 and int8 also
            the variant that the engine is built from.
        options: What to build.
        progress: Called after every step of the builder.

    Returns:
        The engine, which has been built, hashed and parsed, not run.

    Raises:
        BadInputError: If the options or the graph cannot be built.
        MissingError: If no TensorRT, or no GPU for ``current`` that it runs on, is there.
        DamagedError: If TensorRT refuses the engine on the GPU that it was built for.
        CheckFailedError: If the engine computes in other types than its graph, which only a GPU
            can tell, and that is not allowed.
        CannotWriteError: If the bundle cannot be written. It then is as it was.
        KeyboardInterrupt: If Ctrl-C was pressed; likewise.
    """
    check_batch(options.batch)
    named = bool(options.targets) and CURRENT not in options.targets
    flavor = find_flavor(options.flavor, named=named)
    device = _device(required=CURRENT in options.targets)
    targets = options.targets or _default_targets(flavor, device)
    flavor.check_targets(targets)
    _check_current(flavor, targets, device)
    timings = _read_timing_cache(flavor, options.timing_cache)

    bundle, source = _source(bundle, options, progress)
    record = bundle.manifest.artifact(source)
    resolved = (device.sm,) if device is not None and targets == (CURRENT,) else targets
    name = "-".join((flavor.name, options.precision, *resolved))
    key = _key(flavor, options, targets, device, record.sha256)
    if bundle.holds(name, key):
        return Added(bundle, name, reused=True)

    built = build_in_process(
        flavor.name,
        bundle.read(record),
        BuildRequest(
            targets=targets,
            batch=options.batch,
            tf32=options.precision == "tf32",
            workspace=options.workspace,
            timing_cache=timings,
            plugins=_with_plugins(flavor, options),
            lrn_layer=_with_lrn_layer(flavor, options),
        ),
        progress,
    )
    found = realised(flavor, built, device, resolved, name, options.precision)
    if found.difference and not options.allow_other_types:
        raise CheckFailedError(
            f"On this machine's GPU the engine does not compute what was asked for: "
            f"{found.difference}.",
            "Add '--allow-other-types' to keep such an engine, or choose another '--precision'; "
            "the bundle is as it was.",
        )
    engine = EngineRecord(
        flavor=flavor.name,
        version=flavor.version,
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        targets=resolved,
        gpu=device.name if device else None,
        driver=device.driver if device else None,
        precision=options.precision,
        batch=options.batch,
        profile=built.profile,
        workspace=options.workspace,
        timing_cache=sha256(timings) if timings else None,
        source_sha256=record.sha256,
        lrn=report_lrn(bundle.manifest.lrn_layers, built.lrn),
        build_seconds=round(built.seconds, 3),
        peak_memory=built.peak_memory,
        reproducible=built.reproducible,
        realised=found.state,
        difference=found.difference,
    )
    bundle = store_engine(bundle, name, key, source, flavor, engine, built, found.record)
    if options.timing_cache is not None and built.timing_cache is not None:
        write_atomic(options.timing_cache, built.timing_cache)
    return Added(bundle, name, reused=False)


def _device(*, required: bool) -> Device | None:
    try:
        return find_device()
    except MissingError as error:
        if required:
            raise MissingError(
                f"The target 'current' means this machine's GPU: {error.message}",
                f"{error.hint} Or name a compute capability: '--target sm89' for instance, which "
                "tensorrt-rtx builds for on any machine.",
            ) from error
        return None


def _default_targets(flavor: Flavor, device: Device | None) -> tuple[str, ...]:
    if flavor.name == "tensorrt" or device is not None:
        return (CURRENT,)
    return DEFAULT_TARGETS


def _check_current(flavor: Flavor, targets: tuple[str, ...], device: Device | None) -> None:
    """Refuse to build what this machine's GPU would be too late to refuse."""
    if flavor.name != "rtx" or targets != (CURRENT,) or device is None:
        return
    if rtx_refuses(flavor.version, device.sm):
        raise MissingError(
            f"{rtx_refusal(flavor.version, device.name, device.sm)}.",
            f"{rtx_hint()}. For another machine, name its GPU: '--target sm89' for instance.",
        )


def _read_timing_cache(flavor: Flavor, file: Path | None) -> bytes | None:
    if file is None:
        return None
    if not flavor.has_timing_cache:
        raise BadInputError(
            f"{flavor.title} has no timing cache.",
            "Leave '--timing-cache' out, or add '--flavor tensorrt'.",
        )
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise BadInputError(f"Cannot read the timing cache '{file}': {error.strerror}.") from error


def _source(bundle: Bundle, options: EngineOptions, progress: Progress) -> tuple[Bundle, str]:
    """The bundle with the graph to build from, and the graph's name."""
    if is_plain(options.precision):
        if options.calibration is not None:
            raise BadInputError(
                f"{options.precision} is not calibrated.",
                "Leave --calibration out, or use --precision int8.",
            )
        return bundle, MODEL
    from lrn_deploy.workflows.optimize.optimize import optimize
    from lrn_deploy.workflows.optimize.options import OptimizeOptions

    variant = OptimizeOptions(
        target="tensorrt", precision=options.precision, calibration=options.calibration
    )
    made = optimize(bundle, variant, progress)
    return made.bundle, made.name


def _key(
    flavor: Flavor,
    options: EngineOptions,
    targets: tuple[str, ...],
    device: Device | None,
    source_sha256: str,
) -> str:
    """Digest of all that determines the engine. A timing cache only tells how fast kernels are."""
    facts = {
        "source": source_sha256,
        "lrn-deploy": __version__,
        "flavor": [flavor.name, flavor.version],
        "platform": [platform.system(), platform.machine()],
        "targets": targets,
        "device": [device.name, device.driver] if device and targets == (CURRENT,) else None,
        "tf32": options.precision == "tf32",
        "batch": options.batch,
        "workspace": options.workspace,
    }
    if _with_plugins(flavor, options):
        facts["plugins"] = True
    if not _with_lrn_layer(flavor, options):
        facts["lrn"] = "written out"
    return sha256(json.dumps(facts, sort_keys=True).encode())


def _with_plugins(flavor: Flavor, options: EngineOptions) -> bool:
    return options.plugins == "auto" and flavor.name == "tensorrt"


def _with_lrn_layer(flavor: Flavor, options: EngineOptions) -> bool:
    return options.lrn == "layer" or flavor.name == "tensorrt"

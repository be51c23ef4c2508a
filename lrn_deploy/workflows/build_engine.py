"""Build a TensorRT engine of a bundle and record it there."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lrn_deploy import __version__
from lrn_deploy.bundle import (
    Artifact,
    Bundle,
    EngineLrn,
    EngineRecord,
    LrnLayer,
    sha256,
    write_atomic,
)
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.tensorrt.build import (
    Batch,
    BuildRequest,
    BuiltEngine,
    OnProgress,
    build_engine,
    check_batch,
)
from lrn_deploy.tensorrt.cuda import Device, find_device
from lrn_deploy.tensorrt.flavor import CURRENT, Flavor, find_flavor
from lrn_deploy.tensorrt.layers import NetworkRecord

Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]

DEFAULT_TARGETS = ("sm86", "sm89", "sm120")
"""What tensorrt-rtx builds for on a machine without a GPU: the GeForce RTX 30, 40 and 50."""

DEFAULT_BATCH: Batch = (1, 8, 32)


@dataclass(frozen=True)
class EngineRequest:
    """What engine to build of a bundle; the fields are the options of ``build-engine``.

    Attributes:
        flavor: Which TensorRT.
        precision: What the graph computes in; ``tf32`` is fp32 with rounded matrix products.
        targets: Compute capabilities, or ``current``; empty chooses by the machine.
        batch: Smallest, best and largest batch.
        workspace: Limit of scratch GPU memory while building, in bytes.
        timing_cache: File to start from and to write back.
        calibration: Folder of images for int8; None for the bundle's own samples.
    """

    flavor: Literal["auto", "tensorrt", "rtx"] = "auto"
    precision: Precision = "fp32"
    targets: tuple[str, ...] = ()
    batch: Batch = DEFAULT_BATCH
    workspace: int | None = None
    timing_cache: Path | None = None
    calibration: Path | None = None


@dataclass(frozen=True)
class EngineResult:
    """The bundle with the engine, the engine's name there, and whether it was there before."""

    bundle: Bundle
    name: str
    reused: bool


def build_bundle_engine(
    bundle: Bundle, request: EngineRequest, on_progress: OnProgress | None = None
) -> EngineResult:
    """Build an engine, or find that the bundle has it already.

    Args:
        bundle: The bundle; it gains an artifact, and for the precisions fp16, bf16 and int8 also
            the variant that the engine is built from.
        request: What to build.
        on_progress: Called after every step of the builder.

    Returns:
        What :class:`EngineResult` says. The engine has been built, hashed and parsed, not run.

    Raises:
        BadInputError: If the request or the graph cannot be built.
        MissingError: If no TensorRT, or no GPU for ``current``, is there.
        CannotWriteError: If the bundle cannot be written. It then is as it was.
        KeyboardInterrupt: If Ctrl-C was pressed; likewise.
    """
    check_batch(request.batch)
    named = bool(request.targets) and CURRENT not in request.targets
    flavor = find_flavor(request.flavor, named=named)
    device = _device(required=CURRENT in request.targets)
    targets = request.targets or _default_targets(flavor, device)
    flavor.check_targets(targets)
    timings = _read_timing_cache(flavor, request.timing_cache)

    bundle, source = _source(bundle, request)
    record = bundle.manifest.artifact(source)
    resolved = (device.sm,) if device is not None and targets == (CURRENT,) else targets
    name = "-".join((flavor.name, request.precision, *resolved))
    key = _key(flavor, request, targets, device, record.sha256)
    if _is_current(bundle, name, key):
        return EngineResult(bundle, name, reused=True)

    built = build_engine(
        flavor,
        bundle.read(record),
        BuildRequest(
            targets=targets,
            batch=request.batch,
            tf32=request.precision == "tf32",
            workspace=request.workspace,
            timing_cache=timings,
        ),
        on_progress,
    )
    engine = EngineRecord(
        flavor=flavor.name,
        version=flavor.version,
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        targets=resolved,
        gpu=device.name if device else None,
        driver=device.driver if device else None,
        tf32=request.precision == "tf32",
        batch=request.batch,
        profile=built.profile,
        workspace=request.workspace,
        timing_cache=sha256(timings) if timings else None,
        source_sha256=record.sha256,
        lrn=_lrn_report(bundle.manifest.lrn_layers, built.lrn),
        build_seconds=round(built.seconds, 3),
        peak_memory=built.peak_memory,
    )
    bundle = _store(bundle, name, key, source, request, flavor, engine, built)
    if request.timing_cache is not None and built.timing_cache is not None:
        write_atomic(request.timing_cache, built.timing_cache)
    return EngineResult(bundle, name, reused=False)


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


def _source(bundle: Bundle, request: EngineRequest) -> tuple[Bundle, str]:
    """The bundle with the graph to build from, and the graph's name."""
    if request.precision in ("fp32", "tf32"):
        return bundle, "model"
    from lrn_deploy.workflows.optimize import optimize

    bundle = optimize(
        bundle, target="tensorrt", precision=request.precision, calibration=request.calibration
    )
    return bundle, f"trt-{request.precision}"


def _key(
    flavor: Flavor,
    request: EngineRequest,
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
        "tf32": request.precision == "tf32",
        "batch": request.batch,
        "workspace": request.workspace,
    }
    return sha256(json.dumps(facts, sort_keys=True).encode())


def _is_current(bundle: Bundle, name: str, key: str) -> bool:
    """Whether the bundle holds the engine with this key, undamaged."""
    artifact = bundle.manifest.artifacts.get(name)
    if artifact is None or artifact.key != key:
        return False
    try:
        bundle.load(name)
    except LrnDeployError:
        return False
    return True


def _lrn_report(layers: Iterable[LrnLayer], nodes: tuple[EngineLrn, ...]) -> tuple[EngineLrn, ...]:
    """One entry for each LRN layer of the network, in its order.

    The graph has an LRN node for each layer that the export did not write out, in the same order;
    where a pass has changed that, its nodes are listed as they are.
    """
    layers = tuple(layers)
    written = [layer for layer in layers if layer.form == "written out"]
    if len(written) + len(nodes) != len(layers):
        return nodes
    rest = iter(nodes)
    return tuple(
        EngineLrn(name=layer.name, form="written out", reason=f"by the export: {layer.reason}")
        if layer.form == "written out"
        else next(rest).model_copy(update={"name": layer.name})
        for layer in layers
    )


def _store(
    bundle: Bundle,
    name: str,
    key: str,
    source: str,
    request: EngineRequest,
    flavor: Flavor,
    engine: EngineRecord,
    built: BuiltEngine,
) -> Bundle:
    """Write the engine and what belongs to it, then the manifest, then remove what it replaces.

    The key in the files' names keeps them apart from those that the manifest still names, so that
    the bundle is whole at every moment.
    """
    before = bundle.manifest.artifacts.get(name)
    stem = f"engines/{name}.{key[:8]}"
    network = NetworkRecord(kind="requested", engine=name, layers=built.layers)
    file = bundle.add_file(f"{stem}.engine", built.data)
    companion = bundle.add_file(
        f"{stem}.network.json", (network.model_dump_json(indent=2) + "\n").encode()
    )
    artifact = Artifact(
        **file.model_dump(),
        companions=(companion,),
        format=flavor.format,
        precision=request.precision,
        target="+".join(engine.targets),
        built_by={
            "command": "build-engine",
            "lrn-deploy": __version__,
            flavor.title: flavor.version,
        },
        source=source,
        key=key,
        options={"batch": list(request.batch), "workspace": request.workspace},
        engine=engine,
    )
    bundle = bundle.add_artifact(name, artifact)
    if before is not None:
        kept = {artifact.file, companion.file}
        for old in (before, *before.companions):
            if old.file not in kept:
                with suppress(OSError):  # what is left over does no harm
                    (bundle.path / old.file).unlink()
    return bundle

"""Whether an engine fits a machine, from records alone, before anything is deserialised.

A plan is executable code tied to the TensorRT that built it, to the operating system and to the
GPU. TensorRT checks some of that itself and says little; here each mismatch has its own sentence
and the command that rebuilds the engine.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from lrn_deploy.bundle import ArtifactData, EngineRecord
from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.extras import install_package
from lrn_deploy.tensorrt.flavor import FlavorName
from lrn_deploy.tensorrt.targets import (
    CURRENT,
    PORTABLE,
    RTX_TARGETS,
    numbers,
    rtx_refusal,
    rtx_refuses,
)


@dataclass(frozen=True)
class Machine:
    """What an engine must fit.

    Attributes:
        versions: Version of each installed flavor.
        platform: Operating system and processor, as in an engine's record.
        sm: Compute capability of the GPU, ``sm89`` for instance.
        gpu: The GPU's name.
        driver: Version of the NVIDIA driver, or None if it cannot be told.
        free_memory: Free GPU memory in bytes.
    """

    versions: Mapping[FlavorName, str]
    platform: str
    sm: str
    gpu: str
    driver: str | None
    free_memory: int


def record_of(artifact: ArtifactData) -> EngineRecord:
    """The engine's record.

    Raises:
        DamagedError: If the manifest has none.
    """
    if artifact.engine is None:
        raise DamagedError(
            f"The manifest does not say what the engine '{artifact.name}' was built for.",
            f"Build it again: lrn-deploy build-engine {shlex.quote(artifact.bundle)}",
        )
    return artifact.engine


def check_fit(artifact: ArtifactData, machine: Machine) -> None:
    """Refuse an engine that was built for something else than ``machine``.

    Raises:
        MissingError: If the TensorRT that it needs is not installed.
        DamagedError: If version, operating system, GPU or driver do not fit.
    """
    record = record_of(artifact)
    name = artifact.name
    rtx = machine.versions.get("rtx")
    again = f"Build it again here: {rebuild_command(artifact, machine.sm, rtx=rtx)}"
    package = "tensorrt-rtx" if record.flavor == "rtx" else "tensorrt"
    version = machine.versions.get(record.flavor)
    if version is None:
        raise MissingError(
            f"The engine '{name}' needs {package} {record.version}, which is not installed.",
            f"Install it with: {install_package(f'{package}=={record.version}')}",
        )
    if version != record.version:
        raise DamagedError(
            f"The engine '{name}' was built by {package} {record.version}, and {version} is "
            "installed; an engine loads in the version that built it only.",
            again,
        )
    if machine.platform != record.platform:
        raise DamagedError(
            f"The engine '{name}' was built for {record.platform}, and this is {machine.platform}.",
            again,
        )
    if record.flavor == "rtx" and rtx_refuses(version, machine.sm):
        raise DamagedError(
            f"The engine '{name}' cannot run here: "
            f"{rtx_refusal(version, machine.gpu, machine.sm)}.",
            again,
        )
    if record.targets != (PORTABLE,) and machine.sm not in record.targets:
        raise DamagedError(
            f"The engine '{name}' was built for {', '.join(record.targets)}, and this machine's "
            f"{machine.gpu} is {machine.sm}.",
            again,
        )
    if record.driver and machine.driver and numbers(machine.driver) < numbers(record.driver):
        raise DamagedError(
            f"The engine '{name}' was built under NVIDIA driver {record.driver}, and this machine "
            f"has the older {machine.driver}.",
            f"Update the driver. {again}",
        )


def check_memory(artifact: ArtifactData, needed: int, free: int, limit: int | None) -> None:
    """Refuse an engine that needs more GPU memory than there is, or than its limit.

    Args:
        artifact: The engine.
        needed: Bytes for its weights, its activations and its inputs and outputs.
        free: Bytes free on the GPU.
        limit: Most bytes that it may take; None for no limit.

    Raises:
        DamagedError: If it does not fit.
    """
    room, what = free, "are free on this GPU"
    if limit is not None and limit < free:
        room, what = limit, "are allowed for this bundle"
    if needed > room:
        low, _, high = record_of(artifact).batch
        batch = (low, max(low, high // 2), max(low, high // 2))
        raise DamagedError(
            f"The engine '{artifact.name}' needs {needed / 2**20:.0f} MiB of GPU memory, and "
            f"{room / 2**20:.0f} MiB {what}.",
            "Free some, or build it for smaller batches: " + rebuild_command(artifact, batch=batch),
        )


def check_run_batch(artifact: ArtifactData, batch: int) -> None:
    """Refuse a batch outside the engine's profile.

    Raises:
        BadInputError: With the range and the command that builds an engine with a wider one.
    """
    low, best, high = record_of(artifact).batch
    if not low <= batch <= high:
        wider = (min(low, max(batch, 1)), best, max(high, batch))
        raise BadInputError(
            f"The engine '{artifact.name}' takes batches of {low} to {high}, got {batch}.",
            "Split the batch, or build an engine for it: " + rebuild_command(artifact, batch=wider),
        )


def rebuild_command(
    artifact: ArtifactData,
    sm: str | None = None,
    batch: tuple[int, int, int] | None = None,
    *,
    rtx: str | None = None,
) -> str:
    """The command that builds the engine again.

    A GPU that cannot be named to tensorrt-rtx is one to build on, as ``current``; with a
    tensorrt-rtx that does not run there, the command asks for the full TensorRT.

    Args:
        artifact: The engine.
        sm: The GPU to build for; None for the same GPUs as before.
        batch: The batch profile; None for the same as before.
        rtx: Version of the tensorrt-rtx that would build it; None for the one that has.
    """
    record = record_of(artifact)
    flavor = record.flavor
    gpus = record.targets if sm is None else (sm,)
    targets = record.targets if record.targets == (PORTABLE,) else gpus
    named = [gpu for gpu in gpus if gpu != PORTABLE]
    if flavor == "rtx" and any(rtx_refuses(rtx or record.version, gpu) for gpu in named):
        flavor = "tensorrt"
    if flavor == "tensorrt" or not set(targets) <= {*RTX_TARGETS, PORTABLE}:
        targets = (CURRENT,)
    words = ["lrn-deploy", "build-engine", artifact.bundle, "--flavor", flavor]
    words += ["--precision", record.precision]
    for target in targets:
        words += ["--target", target]
    words += ["--batch", ",".join(map(str, batch or record.batch))]
    return shlex.join(words)

"""Execution contexts of one engine, and the kernels that TensorRT for RTX compiles for them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import ArtifactData, TensorSpec, sha256, write_atomic
from lrn_deploy.errors import CannotWriteError, DamagedError
from lrn_deploy.tensorrt.device.buffers import Buffers
from lrn_deploy.tensorrt.device.cuda import Device
from lrn_deploy.tensorrt.fit import rebuild_command
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.messages import reason


class Contexts:
    """Makes execution contexts that are each for one batch size and work on a session's buffers.

    All share one scratch memory, so they may run only one after the other, on the stream.

    Args:
        flavor: The TensorRT that built the engine.
        engine: The engine.
        artifact: What is known about the engine.
        device: Its GPU.
        buffers: The session's memory.
        inputs: The engine's inputs.
        file: Where compiled kernels are kept.

    Raises:
        DamagedError: If TensorRT cannot prepare for making them.
    """

    def __init__(
        self,
        flavor: Flavor,
        engine: Any,
        artifact: ArtifactData,
        device: Device,
        buffers: Buffers,
        inputs: Sequence[TensorSpec],
        file: Path,
    ) -> None:
        self._flavor, self._artifact, self._device = flavor, artifact, device
        self._buffers, self._inputs, self._file = buffers, inputs, file
        self._used = False
        self._make: Any
        self._kernels: Any
        self._make, self._kernels = flavor.contexts(engine, _read(file))

    def make(self, batch: int, *, graphs: bool = True) -> Any:
        """A context for one batch size.

        Args:
            batch: The batch.
            graphs: Let TensorRT for RTX run it as a CUDA graph, which it captures by itself.

        Raises:
            DamagedError: If TensorRT makes none, as when it cannot compile its kernels, or does
                not take the shapes and addresses.
        """
        context = self._make(graphs)
        if context is None:
            raise self._error("cannot prepare to run")
        context.set_device_memory(*self._buffers.scratch)
        taken = [
            context.set_input_shape(spec.name, spec.at_batch(batch)) for spec in self._inputs
        ] + [
            context.set_tensor_address(name, pointer)
            for name, pointer in self._buffers.addresses.items()
        ]
        if not all(taken):
            raise self._error(f"does not take a batch of {batch} for")
        self._used = True
        return context

    def execute(self, context: Any) -> None:
        """Put a run of the network, without copies, on the stream.

        Raises:
            DamagedError: If TensorRT fails to.
        """
        if not context.execute_async_v3(int(self._buffers.stream)):
            raise self._error("failed to run")

    def close(self) -> None:
        """Keep the compiled kernels, and let go of the engine. No context may be left."""
        if self._used:
            kernels = self._kernels()
            if kernels:
                with suppress(CannotWriteError):  # the next process compiles them again
                    write_atomic(self._file, kernels)
        self._used = False
        self._make = None
        self._kernels = None  # the cache goes last, which what was made with it still points to

    def _error(self, what: str) -> DamagedError:
        return DamagedError(
            f"{self._flavor.title} {what} '{self._artifact.name}': {reason(self._flavor.errors)}.",
            f"Build it again: {rebuild_command(self._artifact, self._device.sm)}",
        )


def cache_file(flavor: Flavor, device: Device, artifact: ArtifactData) -> Path:
    """Where the kernels that TensorRT for RTX compiled for an engine on a GPU are kept.

    In the user's cache folder (``XDG_CACHE_HOME``), never in the bundle, which other users and
    other GPUs share.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", f"{device.name} {device.sm} {device.driver or ''}").strip(
        "-"
    )
    folder = root / "lrn-deploy" / f"{flavor.format}-{flavor.version}" / gpu
    return folder / f"{sha256(artifact.data)[:16]}.cache"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""

"""Run a TensorRT engine. Written for a GPU, and not run on one yet; see docs/tensorrt.md."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import ArtifactData, TensorSpec, sha256, write_atomic
from lrn_deploy.errors import BadInputError, CannotWriteError, DamagedError
from lrn_deploy.tensorrt import cuda
from lrn_deploy.tensorrt.cuda import Device, check
from lrn_deploy.tensorrt.fit import check_memory, check_run_batch, rebuild_command, record_of
from lrn_deploy.tensorrt.flavor import Flavor

Array = NDArray[Any]


class EngineRunner:
    """A loaded engine with its own stream and buffers for its largest batch.

    Each batch size has an execution context of its own, because a captured CUDA graph is valid
    only while its context's shapes stay; all share one scratch memory. The first run of a batch
    size warms up, the second is captured, later ones replay the graph. TensorRT for RTX captures
    by itself.

    Not for two threads at once, but any thread may use it.

    Attributes:
        inputs: Names, dtypes and shapes of the inputs, with the dynamic batch.
        outputs: The same of the outputs.

    Args:
        flavor: The TensorRT that built it.
        artifact: The engine, verified and found to fit this machine.
        device: The GPU, which must be the current one.
        memory_limit: Most bytes of GPU memory that it may take; None for all that is free.

    Raises:
        DamagedError: If TensorRT refuses the engine, or it needs too much memory.
        MissingError: If CUDA fails.
    """

    def __init__(
        self, flavor: Flavor, artifact: ArtifactData, device: Device, memory_limit: int | None
    ) -> None:
        self._flavor, self._artifact, self._device = flavor, artifact, device
        self._cuda = cuda.runtime()
        self._largest = record_of(artifact).batch[2]
        check_memory(artifact, len(artifact.data), device.free_memory, memory_limit)
        self._runtime = flavor.start_runtime()
        self._engine = flavor.open_engine(self._runtime, artifact.data)
        if self._engine is None:
            reason = flavor.errors[0] if flavor.errors else "it gives no reason"
            raise DamagedError(
                f"{flavor.title} refuses the engine '{artifact.name}': {reason.rstrip('.')}.",
                f"Build it again: {rebuild_command(artifact, device.sm)}",
            )
        found = flavor.tensors(self._engine)
        self.inputs = tuple(
            _spec(name, dtype, shape) for name, is_in, dtype, shape in found if is_in
        )
        self.outputs = tuple(
            _spec(name, dtype, shape) for name, is_in, dtype, shape in found if not is_in
        )
        scratch = int(self._engine.device_memory_size_v2)
        buffers = sum(_size(spec, self._largest) for spec in (*self.inputs, *self.outputs))
        check_memory(
            artifact, len(artifact.data) + scratch + buffers, device.free_memory, memory_limit
        )
        self._pinned: list[int] = []
        self._allocated: list[int] = []
        self._stream: Any = None
        self._contexts: dict[int, Any] = {}
        self._graphs: dict[int, Any] = {}
        try:
            self._stream = check(
                self._cuda.cudaStreamCreateWithFlags(self._cuda.cudaStreamNonBlocking)
            )
            self._scratch = (self._allocate(scratch), scratch)
            self._buffers = {
                spec.name: self._make_buffer(spec) for spec in (*self.inputs, *self.outputs)
            }
            self._cache_file = cache_file(flavor, device, artifact)
            self._make_context, self._kernels = flavor.contexts(
                self._engine, _read(self._cache_file)
            )
        except BaseException:
            self.close()
            raise

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network on arrays in host memory.

        Args:
            feeds: One array for each input, of its dtype and its shape.

        Returns:
            One array for each output, which is the caller's.

        Raises:
            BadInputError: If the batch is outside the engine's profile.
            DamagedError: If TensorRT fails to run the engine.
        """
        batch = self._batch(feeds)
        check(self._cuda.cudaSetDevice(self._device.index))
        for spec in self.inputs:
            self._view(spec, batch)[...] = feeds[spec.name]
        if batch in self._graphs:
            check(self._cuda.cudaGraphLaunch(self._graphs[batch], self._stream))
        elif batch not in self._contexts:
            self._contexts[batch] = self._context(batch)
            self._enqueue(self._contexts[batch], batch)
        elif self._flavor.captures_graphs:
            self._enqueue(self._contexts[batch], batch)
        else:
            self._graphs[batch] = self._capture(batch)
            check(self._cuda.cudaGraphLaunch(self._graphs[batch], self._stream))
        check(self._cuda.cudaStreamSynchronize(self._stream))
        return {spec.name: self._view(spec, batch).copy() for spec in self.outputs}

    def profile_layers(self, batch: int = 1) -> dict[str, float]:
        """Milliseconds that each layer of the engine takes, on the inputs of the last run.

        The layers run one after the other without a CUDA graph, so their sum is more than a run's
        time. The names are the engine's, in which fused layers are joined.
        """
        check_run_batch(self._artifact, batch)
        check(self._cuda.cudaSetDevice(self._device.index))
        times: dict[str, float] = {}
        context = self._context(batch)
        self._enqueue(context, batch)  # warm-up
        check(self._cuda.cudaStreamSynchronize(self._stream))
        profiler = self._flavor.profiler(times.__setitem__)
        context.profiler = profiler
        self._enqueue(context, batch)
        check(self._cuda.cudaStreamSynchronize(self._stream))
        return times

    def inspect(self) -> str:
        """The engine inspector's JSON; see :func:`lrn_deploy.tensorrt.layers.read_inspector`."""
        return self._flavor.inspect(self._engine)

    def close(self) -> None:
        """Release the GPU's memory, and keep the kernels that TensorRT for RTX compiled."""
        if self._stream is None:
            return
        if self._contexts:
            kernels = self._kernels()
            if kernels:
                with suppress(CannotWriteError):  # the next process compiles them again
                    write_atomic(self._cache_file, kernels)
        for graph in self._graphs.values():
            self._cuda.cudaGraphExecDestroy(graph)
        self._graphs.clear()
        self._contexts.clear()
        self._cuda.cudaStreamDestroy(self._stream)
        self._stream = None
        for pointer in self._allocated:
            self._cuda.cudaFree(pointer)
        for pointer in self._pinned:
            self._cuda.cudaFreeHost(pointer)
        self._engine = self._runtime = None

    def _batch(self, feeds: Mapping[str, Array]) -> int:
        batches = {feeds[spec.name].shape[0] for spec in self.inputs}
        if len(batches) != 1:
            raise BadInputError(f"The inputs have different batches: {sorted(batches)}.")
        (batch,) = batches
        check_run_batch(self._artifact, batch)
        return int(batch)

    def _context(self, batch: int) -> Any:
        """An execution context for one batch size, bound to the session's buffers."""
        context = self._make_context()
        context.set_device_memory(*self._scratch)
        for spec in self.inputs:
            context.set_input_shape(spec.name, spec.at_batch(batch))
        for name, (_, device, _) in self._buffers.items():
            context.set_tensor_address(name, device)
        return context

    def _enqueue(self, context: Any, batch: int) -> None:
        """Put copies in, the network, and copies out on the stream."""
        kinds = self._cuda.cudaMemcpyKind
        for spec in self.inputs:
            host, device, _ = self._buffers[spec.name]
            self._copy(device, host, _size(spec, batch), kinds.cudaMemcpyHostToDevice)
        if not context.execute_async_v3(int(self._stream)):
            reason = self._flavor.errors[-1] if self._flavor.errors else "it gives no reason"
            raise DamagedError(
                f"TensorRT failed to run '{self._artifact.name}': {reason.rstrip('.')}.",
                f"Build it again: {rebuild_command(self._artifact, self._device.sm)}",
            )
        for spec in self.outputs:
            host, device, _ = self._buffers[spec.name]
            self._copy(host, device, _size(spec, batch), kinds.cudaMemcpyDeviceToHost)

    def _copy(self, to: int, source: int, size: int, kind: Any) -> None:
        check(self._cuda.cudaMemcpyAsync(to, source, size, kind, self._stream))

    def _capture(self, batch: int) -> Any:
        """The whole run of one batch size as an executable CUDA graph."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(self._cuda.cudaStreamBeginCapture(self._stream, mode))
        try:
            self._enqueue(self._contexts[batch], batch)
        finally:
            graph = check(self._cuda.cudaStreamEndCapture(self._stream))
        executable = check(self._cuda.cudaGraphInstantiate(graph, 0))
        self._cuda.cudaGraphDestroy(graph)
        return executable

    def _allocate(self, size: int) -> int:
        pointer = int(check(self._cuda.cudaMalloc(max(size, 1))))
        self._allocated.append(pointer)
        return pointer

    def _make_buffer(self, spec: TensorSpec) -> tuple[int, int, Array]:
        """Pinned host memory and GPU memory for the largest batch, and a view of the first."""
        size = _size(spec, self._largest)
        host = int(check(self._cuda.cudaMallocHost(size)))
        self._pinned.append(host)
        view = np.frombuffer(memoryview((ctypes.c_byte * size).from_address(host)), spec.dtype)
        return host, self._allocate(size), view

    def _view(self, spec: TensorSpec, batch: int) -> Array:
        shape = spec.at_batch(batch)
        return self._buffers[spec.name][2][: int(np.prod(shape))].reshape(shape)


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


def _spec(name: str, dtype: Any, shape: tuple[int, ...]) -> TensorSpec:
    axes = tuple("batch" if axis == -1 else axis for axis in shape)
    return TensorSpec(name=name, dtype=np.dtype(dtype).name, shape=axes)


def _size(spec: TensorSpec, batch: int) -> int:
    return int(np.prod(spec.at_batch(batch))) * np.dtype(spec.dtype).itemsize

"""Run a TensorRT engine; docs/gpu.md tells on which GPUs that was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import ArtifactData, TensorSpec
from lrn_deploy.errors import BadInputError, DamagedError
from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.tensorrt.device.buffers import Buffers, size_of
from lrn_deploy.tensorrt.device.contexts import Contexts, cache_file
from lrn_deploy.tensorrt.device.cuda import Device, check
from lrn_deploy.tensorrt.device.timing import DeviceTimer
from lrn_deploy.tensorrt.fit import check_memory, check_run_batch, rebuild_command, record_of
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.messages import reason

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
        self._flavor, self._device = flavor, device
        # Not the bytes: TensorRT has its own copy, and they may be a quarter of a gigabyte.
        self._artifact = replace(artifact, data=b"")
        self._cuda = cuda.runtime()
        self._largest = record_of(artifact).batch[2]
        check_memory(artifact, len(artifact.data), device.free_memory, memory_limit)
        self._runtime = flavor.start_runtime()
        self._engine = flavor.open_engine(self._runtime, artifact.data)
        if self._engine is None:
            raise DamagedError(
                f"{flavor.title} refuses the engine '{artifact.name}': "
                f"{reason(flavor.errors[::-1])}.",
                f"Build it again: {rebuild_command(artifact, device.sm)}",
            )
        found = flavor.tensors(self._engine)
        self.inputs = tuple(
            _spec(name, dtype, shape) for name, is_in, dtype, shape in found if is_in
        )
        self.outputs = tuple(
            _spec(name, dtype, shape) for name, is_in, dtype, shape in found if not is_in
        )
        both = (*self.inputs, *self.outputs)
        scratch = int(self._engine.device_memory_size_v2)
        needed = len(artifact.data) + scratch + sum(size_of(spec, self._largest) for spec in both)
        check_memory(artifact, needed, device.free_memory, memory_limit)
        self._warm: dict[int, Any] = {}
        self._graphs: dict[int, Any] = {}
        self._buffers = Buffers()
        try:
            self._buffers.allocate(both, self._largest, scratch)
            self._contexts = Contexts(
                flavor,
                self._engine,
                self._artifact,
                device,
                self._buffers,
                self.inputs,
                cache_file(flavor, device, artifact),
            )
        except BaseException:
            self._buffers.close()
            raise
        self._timer = DeviceTimer(flavor, self._contexts, self._buffers)

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
        self._buffers.fill(feeds, self.inputs, batch)
        context = self._warm.get(batch)
        if context is None:
            context = self._contexts.make(batch)
            self._enqueue(context, batch)
        elif self._flavor.captures_graphs:
            self._enqueue(context, batch)
        else:
            if batch not in self._graphs:
                self._graphs[batch] = cuda.capture(
                    self._buffers.stream, lambda: self._enqueue(context, batch)
                )
            check(self._cuda.cudaGraphLaunch(self._graphs[batch], self._buffers.stream))
        self._buffers.synchronize()
        self._warm[batch] = context
        return {spec.name: self._buffers.view(spec, batch).copy() for spec in self.outputs}

    def time_on_device(self, batch: int, runs: int, *, graphs: bool = True) -> float:
        """Seconds that the GPU takes for one run of the network, by events on its stream.

        The network alone, back to back, without the copies from and to the host, on the inputs
        last given to :meth:`run`, whose batch should have been ``batch`` or larger. The first call
        of its kind warms up an execution context, which is kept; later ones only time.

        Args:
            batch: The batch.
            runs: How many runs to time together.
            graphs: Replay a CUDA graph of the network; else launch its kernels one by one.

        Raises:
            BadInputError: If the batch is outside the engine's profile, or ``runs`` is below 1.
            DamagedError: If TensorRT fails to run the engine.
            MissingError: If CUDA fails.
        """
        check_run_batch(self._artifact, batch)
        check(self._cuda.cudaSetDevice(self._device.index))
        return self._timer.time(batch, runs, graphs=graphs)

    def profile_layers(self, batch: int = 1) -> dict[str, float]:
        """Milliseconds that each layer of the engine takes, on the inputs of the last run.

        The layers run one after the other without a CUDA graph, so their sum is more than a run's
        time. The names are the engine's, in which fused layers are joined; the times of layers
        with the same name are added up.

        Raises:
            BadInputError: If the batch is outside the engine's profile.
            DamagedError: If TensorRT fails to run the engine.
        """
        check_run_batch(self._artifact, batch)
        check(self._cuda.cudaSetDevice(self._device.index))
        return self._timer.layers(batch)

    def inspect(self) -> str:
        """The engine inspector's JSON; see :func:`lrn_deploy.tensorrt.layers.read_inspector`."""
        return self._flavor.inspect(self._engine)

    def close(self) -> None:
        """Release the GPU's memory, and keep the kernels that TensorRT for RTX compiled."""
        if self._buffers.stream is None:
            return
        for graph in self._graphs.values():
            self._cuda.cudaGraphExecDestroy(graph)
        self._graphs.clear()
        self._warm.clear()
        self._timer.close()
        self._contexts.close()
        self._buffers.close()
        self._engine = self._runtime = None

    def _batch(self, feeds: Mapping[str, Array]) -> int:
        batches = {feeds[spec.name].shape[0] for spec in self.inputs}
        if len(batches) != 1:
            raise BadInputError(f"The inputs have different batches: {sorted(batches)}.")
        (batch,) = batches
        check_run_batch(self._artifact, batch)
        return int(batch)

    def _enqueue(self, context: Any, batch: int) -> None:
        """Put copies in, the network, and copies out on the stream."""
        self._buffers.copy_in(self.inputs, batch)
        self._contexts.execute(context)
        self._buffers.copy_out(self.outputs, batch)


def _spec(name: str, dtype: Any, shape: tuple[int, ...]) -> TensorSpec:
    axes = tuple("batch" if axis == -1 else axis for axis in shape)
    return TensorSpec(name=name, dtype=np.dtype(dtype).name, shape=axes)

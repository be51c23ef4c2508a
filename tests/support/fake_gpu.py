"""A GPU made of host memory: enough of CUDA and TensorRT to run an engine made of a function.

It cannot tell whether the real ones would agree; it pins what the session asks of them.
"""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from lrn_deploy.errors import MissingError
from lrn_deploy.tensorrt.device.cuda import Device

DEVICE = Device(
    index=0,
    name="Fake RTX",
    sm="sm89",
    driver="580.65.06",
    free_memory=1 << 30,
    total_memory=1 << 30,
)
Arrays = dict[str, np.ndarray[Any, Any]]
Tensor = tuple[str, bool, Any, tuple[int, ...]]
"""Name, whether it is an input, numpy type and shape with -1 for the batch."""

SUCCESS = SimpleNamespace(name="cudaSuccess")
FEATURES = 3
DOUBLING: tuple[Tensor, ...] = (
    ("x", True, np.float32, (-1, FEATURES)),
    ("y", False, np.float32, (-1, FEATURES)),
)


def double(feeds: Arrays) -> Arrays:
    return {"y": 2 * feeds["x"]}


def untold_types(*names: str, text: str = "Format not available due to dynamic shapes") -> str:
    """The inspector's answer about an engine with a dynamic batch, which tells no types."""
    values = [{"Name": name, "Dimensions": [-1, FEATURES], "Datatype": text} for name in names]
    layers = [
        {"Name": value["Name"], "LayerType": "gemm", "Inputs": [], "Outputs": [value]}
        for value in values
    ]
    return json.dumps({"Layers": layers, "Bindings": list(names)})


class FakeCuda:
    """``cuda.bindings.runtime``, with what is allocated and what was launched."""

    cudaStreamNonBlocking = 1  # noqa: N815 - CUDA's names
    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out"
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.calls: list[str] = []
        self.recording: list[Any] | None = None
        self.graphs = 0
        self.streams = 0
        self.events: dict[int, float] = {}

    def do(self, action: Any) -> None:
        """Run work of the stream now, or record it while a graph is captured."""
        if self.recording is None:
            action()
        else:
            self.recording.append(action)

    def _allocate(self, size: int) -> tuple[Any, int]:
        block = (ctypes.c_byte * size)()
        self.memory[ctypes.addressof(block)] = block
        return SUCCESS, ctypes.addressof(block)

    cudaMalloc = cudaMallocHost = _allocate  # noqa: N815

    def _free(self, pointer: int) -> tuple[Any]:
        del self.memory[pointer]
        return (SUCCESS,)

    cudaFree = cudaFreeHost = _free  # noqa: N815

    def cudaSetDevice(self, _index: int) -> tuple[Any]:  # noqa: N802
        return (SUCCESS,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, int]:  # noqa: N802
        assert flags == self.cudaStreamNonBlocking
        self.streams += 1
        return SUCCESS, 7

    def cudaStreamDestroy(self, _stream: int) -> tuple[Any]:  # noqa: N802
        self.streams -= 1
        return (SUCCESS,)

    def cudaEventCreate(self) -> tuple[Any, int]:  # noqa: N802
        event = max(self.events, default=0) + 1
        self.events[event] = 0.0
        return SUCCESS, event

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Any]:  # noqa: N802
        assert stream == 7
        self.calls.append("event")
        self.events[event] = time.perf_counter()
        return (SUCCESS,)

    def cudaEventSynchronize(self, _event: int) -> tuple[Any]:  # noqa: N802
        return (SUCCESS,)

    def cudaEventElapsedTime(self, start: int, end: int) -> tuple[Any, float]:  # noqa: N802
        return SUCCESS, 1e3 * (self.events[end] - self.events[start])

    def cudaEventDestroy(self, event: int) -> tuple[Any]:  # noqa: N802
        del self.events[event]
        return (SUCCESS,)

    def cudaStreamSynchronize(self, _stream: int) -> tuple[Any]:  # noqa: N802
        return (SUCCESS,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: str, stream: int) -> Any:  # noqa: N802
        assert stream == 7

        def copy() -> None:
            self.calls.append(kind)
            ctypes.memmove(to, source, size)

        self.do(copy)
        return (SUCCESS,)

    def cudaStreamBeginCapture(self, _stream: int, _mode: int) -> tuple[Any]:  # noqa: N802
        self.recording = []
        return (SUCCESS,)

    def cudaStreamEndCapture(self, _stream: int) -> tuple[Any, Any]:  # noqa: N802
        recorded, self.recording = self.recording, None
        return SUCCESS, recorded

    def cudaGraphInstantiate(self, graph: Any, _flags: int) -> tuple[Any, Any]:  # noqa: N802
        self.graphs += 1
        return SUCCESS, graph

    def cudaGraphDestroy(self, _graph: Any) -> tuple[Any]:  # noqa: N802
        return (SUCCESS,)

    def cudaGraphExecDestroy(self, _graph: Any) -> tuple[Any]:  # noqa: N802
        self.graphs -= 1
        return (SUCCESS,)

    def cudaGraphLaunch(self, graph: Any, _stream: int) -> tuple[Any]:  # noqa: N802
        self.calls.append("graph")
        for action in graph:
            action()
        return (SUCCESS,)


class FakeContext:
    def __init__(self, gpu: FakeGpu, graphs: bool) -> None:
        self.gpu = gpu
        self.graphs = graphs
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.address: dict[str, int] = {}
        self.profiler: Any = None

    def set_device_memory(self, _pointer: int, size: int) -> None:
        assert size == self.gpu.engine.device_memory_size_v2

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return self.gpu.refused_setter != "set_input_shape"

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self.address[name] = pointer
        return self.gpu.refused_setter != "set_tensor_address"

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        if self.gpu.broken:
            self.gpu.errors.append("Illegal address.")
            return False
        self.gpu.cuda.do(self._run)
        if self.profiler is not None and not self.graphs:
            for name, milliseconds in self.gpu.layer_times:
                self.profiler(name, milliseconds)
        return True

    def _run(self) -> None:
        self.gpu.cuda.calls.append("run")
        dtypes = {name: np.dtype(dtype) for name, _, dtype, _ in self.gpu.tensors_of_engine}
        feeds = {
            name: _memory(self.address[name], dtypes[name], shape)
            for name, shape in self.shapes.items()
        }
        for name, value in self.gpu.network(feeds).items():
            _memory(self.address[name], dtypes[name], value.shape)[...] = value


def _memory(address: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """An array that is the memory at an address."""
    size = int(np.prod(shape)) * dtype.itemsize
    block = (ctypes.c_byte * size).from_address(address)
    return np.frombuffer(memoryview(block), dtype).reshape(shape)


class FakeGpu:
    """A flavor with one engine, which is a function; any plan but ``bad`` loads.

    Args:
        captures_graphs: Be TensorRT for RTX, which captures by itself; else be full TensorRT.
        network: What the engine computes, from the inputs by name to the outputs.
        tensors: The engine's inputs and outputs.
        scratch: Bytes of its scratch memory.
        refusal: What TensorRT says when it refuses every plan; empty: it takes them.
        no_context: What it says when it makes no context; empty: it makes them.
        refused_setter: ``set_input_shape`` or ``set_tensor_address``: it answers False.
        inspector: The engine inspector's answer.
        layer_times: What a profiler is told in each run, in milliseconds.
    """

    def __init__(
        self,
        *,
        captures_graphs: bool = False,
        network: Callable[[Arrays], Arrays] = double,
        tensors: Sequence[Tensor] = DOUBLING,
        scratch: int = 64,
        refusal: str = "",
        no_context: str = "",
        refused_setter: str = "",
        inspector: str = '{"Layers": []}',
        layer_times: Sequence[tuple[str, float]] = (("layer", 0.25),),
    ) -> None:
        self.name = "rtx" if captures_graphs else "tensorrt"
        self.title = "TensorRT for RTX" if captures_graphs else "TensorRT"
        self.format = "tensorrt-rtx" if captures_graphs else "tensorrt"
        self.version = "1.7.1"
        self.cuda = FakeCuda()
        self.errors: list[str] = []
        self.broken = False
        self.captures_graphs = captures_graphs
        self.network = network
        self.tensors_of_engine = tuple(tensors)
        self.engine = SimpleNamespace(device_memory_size_v2=scratch)
        self.refusal, self.no_context, self.refused_setter = refusal, no_context, refused_setter
        self.inspector, self.layer_times = inspector, tuple(layer_times)
        self.contexts_made = 0
        self.graphs_asked: list[bool] = []
        self.kernels = b""

    def start_runtime(self) -> str:
        return "runtime"

    def open_engine(self, _runtime: str, plan: bytes) -> Any:
        if plan == b"bad" or self.refusal:
            self.errors.append(self.refusal or "Magic tag does not match.")
            return None
        return self.engine

    def tensors(self, _engine: Any) -> list[Tensor]:
        return list(self.tensors_of_engine)

    def contexts(self, engine: Any, kernels: bytes) -> Any:
        self.kernels = kernels

        def make(graphs: bool) -> FakeContext | None:
            assert engine is self.engine  # held, as by the real one
            if self.no_context:
                self.errors.append(self.no_context)
                return None
            self.contexts_made += 1
            self.graphs_asked.append(graphs)
            return FakeContext(self, graphs and self.captures_graphs)

        return make, lambda: b"compiled" if self.captures_graphs else b""

    def inspect(self, _engine: Any) -> str:
        return self.inspector

    def profiler(self, report: Any) -> Any:
        return report


def no_device(_index: int = 0) -> Device:
    raise MissingError("There is no NVIDIA GPU here.", "Run 'nvidia-smi'.")

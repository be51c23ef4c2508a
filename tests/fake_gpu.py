"""A GPU made of host memory: enough of CUDA and TensorRT to run an engine that doubles its input.

It cannot tell whether the real ones would agree; it pins what the session asks of them.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from lrn_deploy.errors import MissingError
from lrn_deploy.tensorrt.cuda import Device

DEVICE = Device(
    index=0,
    name="Fake RTX",
    sm="sm89",
    driver="580.65.06",
    free_memory=1 << 30,
    total_memory=1 << 30,
)
SUCCESS = SimpleNamespace(name="cudaSuccess")
FEATURES = 3


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

    def cudaStreamSynchronize(self, _stream: int) -> tuple[Any]:  # noqa: N802
        return (SUCCESS,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: str, stream: int) -> Any:  # noqa: N802
        assert stream == 7
        self.do(lambda: (self.calls.append(kind), ctypes.memmove(to, source, size)))
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
    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.shape: tuple[int, ...] = ()
        self.address: dict[str, int] = {}
        self.profiler: Any = None

    def set_device_memory(self, _pointer: int, size: int) -> None:
        assert size == self.gpu.engine.device_memory_size_v2

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def set_tensor_address(self, name: str, pointer: int) -> None:
        self.address[name] = pointer

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        if self.gpu.broken:
            self.gpu.errors.append("Illegal address.")
            return False
        count = int(np.prod(self.shape))

        def double() -> None:
            x = (ctypes.c_float * count).from_address(self.address["x"])
            y = (ctypes.c_float * count).from_address(self.address["y"])
            for index in range(count):
                y[index] = 2 * x[index]

        self.gpu.cuda.do(double)
        if self.profiler is not None:
            self.profiler("layer", 0.25)
        return True


class FakeGpu:
    """A flavor whose only engine doubles ``x`` of shape (batch, 3); any plan but ``bad`` loads."""

    title, version = "TensorRT for RTX", "1.7.1"

    def __init__(self, *, captures_graphs: bool = False) -> None:
        self.name = "rtx" if captures_graphs else "tensorrt"
        self.format = "tensorrt-rtx" if captures_graphs else "tensorrt"
        self.cuda = FakeCuda()
        self.errors: list[str] = []
        self.broken = False
        self.captures_graphs = captures_graphs
        self.engine = SimpleNamespace(device_memory_size_v2=64)
        self.contexts_made = 0
        self.kernels = b""

    def start_runtime(self) -> str:
        return "runtime"

    def open_engine(self, _runtime: str, plan: bytes) -> Any:
        if plan == b"bad":
            self.errors.append("Magic tag does not match.")
            return None
        return self.engine

    def tensors(self, _engine: Any) -> Any:
        shape = (-1, FEATURES)
        return [("x", True, np.float32, shape), ("y", False, np.float32, shape)]

    def contexts(self, _engine: Any, kernels: bytes) -> Any:
        self.kernels = kernels

        def make() -> FakeContext:
            self.contexts_made += 1
            return FakeContext(self)

        return make, lambda: b"compiled" if self.captures_graphs else b""

    def inspect(self, _engine: Any) -> str:
        return '{"Layers": []}'

    def profiler(self, report: Any) -> Any:
        return report


def no_device(_index: int = 0) -> Device:
    raise MissingError("There is no NVIDIA GPU here.", "Run 'nvidia-smi'.")

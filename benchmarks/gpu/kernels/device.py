"""Where the kernels run and what times them: a GPU, or the CPU of ``dry``.

Time on a GPU is that between two events on a stream of ours, around calls that were captured in a
CUDA graph or are enqueued one by one. The calls go through as many inputs and outputs as together
exceed the GPU's second cache several times, so that every input comes from memory.

The stream is not PyTorch's default one, whose handle is 0: to ONNX Runtime that means no stream, so
that it makes one of its own, which our events would not see; TensorRT adds synchronisations on it.
"""

from __future__ import annotations

import gc
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.kernels.cases import PLANES, Case, Shape, timed_cases
from lrn_deploy.errors import MissingError
from lrn_deploy.plugins import gpu
from lrn_deploy.plugins.fusion import Fusion
from lrn_deploy.plugins.launch import Tile

CACHES = 4
"""The inputs that calls go through are together as large as so many second caches."""

Step = Callable[[Tensor], Tensor]


@dataclass
class Run:
    """Calls that are timed together, and the tensors that must live as long as they can run.

    Attributes:
        go: Make them.
        calls: How many.
        how: ``graph``, ``enqueued`` or ``host``.
        inputs: What they go through in turn.
        outputs: The result for each input.
        held: What else must live as long.
        host_s: Seconds that the host took for a call, each time: where these are as long as the
            device's, it waited for the host.
    """

    go: Callable[[], None]
    calls: int
    how: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    held: Any = None
    host_s: list[float] = field(default_factory=list)


class Device(ABC):
    """What differs between a run on a GPU and a dry one.

    Attributes:
        name: PyTorch's name of it.
        planes: Channels, rows and columns of the layers.
        batches: The batches that are timed.
        kinds: Their types, keys of ``DTYPES``.
        checked: Shape of the inputs on which results are checked.
        calls: How many are timed together, at least.
        rounds: Samples of each candidate.
        copied: Bytes of the large copy.
        compiled_ahead: The most kernels that are compiled before they are called.
        provider: ONNX Runtime's.
        session_entries: What an ONNX Runtime session is told besides.
        target: What TensorRT builds for.
        options: How a child process is told to run on the same.
    """

    name: str
    planes: Mapping[str, Shape]
    batches: tuple[int, ...]
    kinds: tuple[str, ...]
    checked: Shape
    calls: int
    rounds: int
    copied: int
    compiled_ahead: int
    provider: str
    session_entries: Mapping[str, str]
    target: str
    options: tuple[str, ...]

    def cases(self) -> Iterator[Case]:
        """What is timed, by worth."""
        return timed_cases(self.planes, self.batches, self.kinds)

    def calls_through(self, inputs: list[Tensor]) -> int:
        """Enough calls to time, each input as often as the others."""
        return -(-self.calls // len(inputs)) * len(inputs)

    @abstractmethod
    def stream(self) -> AbstractContextManager[Any]:
        """Within it all work goes to one stream, which is not the default one."""

    @abstractmethod
    def inputs(self, shape: Shape, dtype: torch.dtype) -> list[Tensor]:
        """Random inputs, so many that none stays in a cache until it is used again."""

    @abstractmethod
    def fused(self, x: Tensor, fusion: Fusion, tile: Tile | None = None) -> Tensor:
        """The fused kernel."""

    @abstractmethod
    def compiled(self, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A function, compiled by PyTorch for one shape."""

    @abstractmethod
    def captured(self, step: Step, inputs: list[Tensor]) -> Run:
        """Calls without the host's time for each."""

    @abstractmethod
    def enqueued(self, go: Callable[[], None], inputs: list[Tensor], outputs: list[Tensor]) -> Run:
        """Calls that the host makes one by one: ``calls_through`` in each ``go()``."""

    @abstractmethod
    def seconds(self, run: Run) -> float:
        """Run it; seconds of one call."""

    @abstractmethod
    def provider_options(self) -> dict[str, str]:
        """Options of ONNX Runtime's provider."""

    @abstractmethod
    def settle(self) -> None:
        """Wait for all work, and raise what went wrong in it."""

    @abstractmethod
    def free(self) -> None:
        """Give back the memory that nothing holds."""

    @abstractmethod
    def compiler(self) -> AbstractContextManager[Any]:
        """Within it Triton compiles for this device."""


class Gpu(Device):
    """The first NVIDIA GPU."""

    name = "cuda"
    planes = PLANES
    batches = (32, 128)
    kinds = ("float16", "float32")
    checked = (3, 96, 55, 55)
    calls = 20
    rounds = 15
    copied = 1 << 30
    compiled_ahead = 1000
    provider = "CUDAExecutionProvider"
    session_entries: Mapping[str, str] = {"session.disable_cpu_ep_fallback": "1"}
    target = "current"
    options = ()

    def __init__(self) -> None:
        # The functions compiled here are too small for compiling processes, which would start
        # beside what is timed. PyTorch reads this when it first compiles.
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        torch.backends.cudnn.allow_tf32 = False
        torch.manual_seed(0)
        self._cache: int = torch.cuda.get_device_properties(0).L2_cache_size

    def stream(self) -> AbstractContextManager[Any]:
        """Within it all work goes to one stream, which is not the default one."""
        return torch.cuda.stream(torch.cuda.Stream())  # type: ignore[no-untyped-call] # torch's

    def inputs(self, shape: Shape, dtype: torch.dtype) -> list[Tensor]:
        """Random inputs, together several times as large as the second cache."""
        size = math.prod(shape) * dtype.itemsize
        count = max(1, -(-CACHES * self._cache // size))
        return [torch.randn(shape, device=self.name).to(dtype) for _ in range(count)]

    def fused(self, x: Tensor, fusion: Fusion, tile: Tile | None = None) -> Tensor:
        """The kernel."""
        return gpu.on_gpu(x, fusion, tile)

    def compiled(self, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A function, compiled for one shape; it fails rather than run in part eagerly."""
        # The limit of shapes that a function is compiled for counts over all that share its code.
        torch._dynamo.reset()
        return torch.compile(step, dynamic=False, fullgraph=True)

    def captured(self, step: Step, inputs: list[Tensor]) -> Run:
        """Calls in one CUDA graph."""
        for x in inputs[:3]:
            step(x)
        self.settle()
        graph, calls = torch.cuda.CUDAGraph(), self.calls_through(inputs)
        outputs: list[Tensor] = []
        with torch.cuda.graph(graph):
            for call in range(calls):
                outputs.append(step(inputs[call % len(inputs)]))
                outputs = outputs[-len(inputs) :]  # they stay apart, as inputs do
        return Run(graph.replay, calls, "graph", inputs, outputs)

    def enqueued(self, go: Callable[[], None], inputs: list[Tensor], outputs: list[Tensor]) -> Run:
        """Calls from the host, where a graph cannot be captured."""
        return Run(go, self.calls_through(inputs), "enqueued", inputs, outputs)

    def seconds(self, run: Run) -> float:
        """Seconds of one call between two events."""
        start: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's
        end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's
        start.record()
        before = time.perf_counter()
        run.go()
        run.host_s.append((time.perf_counter() - before) / run.calls)
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / run.calls

    def provider_options(self) -> dict[str, str]:
        """ONNX Runtime's work goes to the stream that the events are on."""
        return {"user_compute_stream": str(torch.cuda.current_stream().cuda_stream)}

    def settle(self) -> None:
        """Wait for all work, and raise what went wrong in it."""
        torch.cuda.synchronize()

    def free(self) -> None:
        """Give back the memory that nothing holds."""
        gc.collect()
        with suppress(RuntimeError):  # after an error that the GPU cannot forget; all calls tell it
            torch.cuda.empty_cache()

    @contextmanager
    def compiler(self) -> Iterator[None]:
        """Triton finds the GPU by itself."""
        yield


def choose_device(*, dry: bool) -> Device:
    """The GPU, or what stands for it in a dry run.

    Raises:
        MissingError: If there is no GPU and the run is not dry.
    """
    if dry:
        from benchmarks.gpu.kernels.dry import DryCpu

        return DryCpu()
    if not torch.cuda.is_available():
        raise MissingError("PyTorch finds no GPU here, so nothing was measured.")
    return Gpu()

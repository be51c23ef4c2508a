"""What stands for the GPU in a dry run: the CPU's operators on small inputs, the host's clock."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from benchmarks.gpu.kernels.cases import Shape
from benchmarks.gpu.kernels.device import Device, Run, Step
from lrn_deploy.plugins.fusion import Fusion
from lrn_deploy.plugins.launch import Tile
from lrn_deploy.plugins.operators import arguments, operator


class DryCpu(Device):
    """A CPU: shows that a stage would run on a GPU, and nothing else."""

    name = "cpu"
    planes: Mapping[str, Shape] = {"first": (12, 11, 11)}
    batches = (2,)
    kinds = ("float32", "float16")  # a CPU does not compute all that is looked at closely in fp16
    checked = (2, 12, 11, 11)
    calls = 2
    rounds = 2
    copied = 1 << 20
    compiled_ahead = 1
    provider = "CPUExecutionProvider"
    session_entries: Mapping[str, str] = {}
    target = "sm86"
    options = ("--dry",)

    def __init__(self) -> None:
        torch.manual_seed(0)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A CPU has none."""
        yield

    def inputs(self, shape: Shape, dtype: torch.dtype) -> list[Tensor]:
        """Two random inputs."""
        return [torch.randn(shape).to(dtype) for _ in range(2)]

    def fused(self, x: Tensor, fusion: Fusion, tile: Tile | None = None) -> Tensor:  # noqa: ARG002 - a GPU has
        """The CPU's operator, which has no tiles."""
        return operator(fusion.name)(x, *arguments(fusion))

    def compiled(self, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Traced by PyTorch's compiler, and run as it was: there need not be a C++ compiler."""
        return torch.compile(step, dynamic=False, fullgraph=True, backend="eager")

    def captured(self, step: Step, inputs: list[Tensor]) -> Run:
        """Calls from the host."""
        calls = self.calls_through(inputs)

        def go() -> None:
            for call in range(calls):
                step(inputs[call % len(inputs)])

        return Run(go, calls, "host", inputs, [step(x) for x in inputs])

    def enqueued(self, go: Callable[[], None], inputs: list[Tensor], outputs: list[Tensor]) -> Run:
        """Calls from the host."""
        return Run(go, self.calls_through(inputs), "host", inputs, outputs)

    def seconds(self, run: Run) -> float:
        """Seconds of one call by the host's clock."""
        before = time.perf_counter()
        run.go()
        run.host_s.append((time.perf_counter() - before) / run.calls)
        return run.host_s[-1]

    def provider_options(self) -> dict[str, str]:
        """None are needed."""
        return {}

    def settle(self) -> None:
        """Nothing is ever under way."""

    def free(self) -> None:
        """Give back the memory that nothing holds."""
        gc.collect()

    @contextmanager
    def compiler(self) -> Iterator[None]:
        """Triton compiles for a GPU that is not here."""
        from triton.backends.compiler import GPUTarget
        from triton.runtime import driver

        class Absent:
            """What Triton asks of a driver before it compiles."""

            get_current_device = staticmethod(lambda: 0)
            get_current_stream = staticmethod(lambda _device: 0)
            get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))

        # Resetting it, Triton would look for a GPU.
        with mock.patch.object(driver, "_active", Absent()):
            yield

"""How long the GPU takes for an engine alone, without the copies from and to the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lrn_deploy.errors import BadInputError
from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.tensorrt.device.buffers import Buffers
from lrn_deploy.tensorrt.device.contexts import Contexts
from lrn_deploy.tensorrt.device.cuda import check
from lrn_deploy.tensorrt.flavor import Flavor

_WARM_UPS = 3  # TensorRT for RTX captures in the second run, and replays from the third on


class DeviceTimer:
    """Times runs of an engine on what its input buffers hold.

    Each batch size, with CUDA graphs and without, has an execution context of its own, which is
    warmed up when it is first asked for and then kept.

    Args:
        flavor: The TensorRT that built the engine.
        contexts: Makes the engine's contexts.
        buffers: The session's memory.
    """

    def __init__(self, flavor: Flavor, contexts: Contexts, buffers: Buffers) -> None:
        self._cuda = cuda.runtime()
        self._flavor, self._contexts, self._buffers = flavor, contexts, buffers
        self._ready: dict[tuple[int, bool], Callable[[], None]] = {}
        self._graphs: list[Any] = []

    def time(self, batch: int, runs: int, *, graphs: bool) -> float:
        """Seconds per run; see :meth:`.run.EngineRunner.time_on_device`."""
        if runs < 1:
            raise BadInputError(f"{runs} runs cannot be timed.", "Ask for one at least.")
        key = (batch, graphs)
        if key not in self._ready:
            self._ready[key] = self._prepare(batch, graphs=graphs)
        launch = self._ready[key]

        def work() -> None:
            for _ in range(runs):
                launch()

        return cuda.measure(self._buffers.stream, work) / runs

    def layers(self, batch: int) -> dict[str, float]:
        """Milliseconds of each layer; layers of one name are added up.

        Without CUDA graphs: what a graph replays is not told apart. The context is used once, as
        its profiler would slow other runs.
        """
        context = self._contexts.make(batch, graphs=False)
        self._warm_up(context)
        times: dict[str, float] = {}

        def add(name: str, milliseconds: float) -> None:
            times[name] = times.get(name, 0.0) + milliseconds

        context.profiler = self._flavor.profiler(add)
        self._contexts.execute(context)
        self._buffers.synchronize()
        return times

    def close(self) -> None:
        """Let go of graphs and contexts."""
        self._ready.clear()
        for graph in self._graphs:
            self._cuda.cudaGraphExecDestroy(graph)
        self._graphs.clear()

    def _prepare(self, batch: int, *, graphs: bool) -> Callable[[], None]:
        """Puts one run on the stream when called, warmed up."""
        context = self._contexts.make(batch, graphs=graphs)
        self._warm_up(context)
        if not graphs or self._flavor.captures_graphs:
            return lambda: self._contexts.execute(context)
        stream = self._buffers.stream
        graph = cuda.capture(stream, lambda: self._contexts.execute(context))
        self._graphs.append(graph)

        def replay(_context: Any = context) -> None:  # the graph needs what the context owns
            check(self._cuda.cudaGraphLaunch(graph, stream))

        replay()
        self._buffers.synchronize()
        return replay

    def _warm_up(self, context: Any) -> None:
        for _ in range(_WARM_UPS):
            self._contexts.execute(context)
        self._buffers.synchronize()

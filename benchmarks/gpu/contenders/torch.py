"""PyTorch, eager: as it is, as a CUDA graph, with channels last, and with the fused LRN kernels."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.contenders.worker import CALLS, Candidate, Ready, answer
from benchmarks.gpu.made import BATCHES, networks
from benchmarks.gpu.record import StageOptions, run_stage
from lrn_deploy.bundle import Bundle
from lrn_deploy.network import reload_network
from lrn_deploy.plugins.rewrite import fuse_lrn

TYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16}
_EAGER = (
    ("fp32", False, False),
    ("tf32", False, False),
    ("fp16", False, False),
    ("fp16", True, False),
    ("fp16", False, True),
)


@dataclass(frozen=True)
class Network:
    """A network on the device in one precision.

    Attributes:
        module: The module.
        shape: Of one input, without the batch.
        precision: ``fp32``, ``tf32`` or ``fp16``.
        device: Where it is.
        last: Whether its channels come last in memory.
    """

    module: Any
    shape: tuple[int, ...]
    precision: str
    device: str
    last: bool

    def input(self, batch: int) -> torch.Tensor:
        """A random input."""
        x = torch.randn(batch, *self.shape, device=self.device).to(TYPES[self.precision])
        return x.to(memory_format=torch.channels_last) if self.last else x

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """Run, with TF32 as the precision says."""
        allowed = self.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        with torch.no_grad():
            return self.module(x)  # type: ignore[no-any-return] # a module returns anything


def load(
    options: StageOptions, precision: str, *, last: bool = False, fused: bool = False
) -> Network:
    """The first network of the stage ``made``."""
    manifest = Bundle.open(options.work / networks(options)[0]).manifest
    module = reload_network(manifest.model).module.eval()
    if fused:
        fuse_lrn(module)
    device = "cpu" if options.dry else "cuda"
    module = module.to(device, TYPES[precision])
    if last:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's
    return Network(module, tuple(manifest.model.input_shape), precision, device, last)


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds of one run: of the device, from events around several; of the host without a GPU."""
    if device == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    begin: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's
    end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's
    begin.record()
    for _ in range(CALLS):
        run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3 / CALLS


def end_to_end(network: Network, batch: int) -> Callable[[], object]:
    """One run from a float32 array to a float32 array."""
    x = np.random.default_rng(0).normal(size=(batch, *network.shape)).astype(np.float32)

    def run() -> object:
        y = torch.from_numpy(x).to(network.device).to(TYPES[network.precision])
        if network.last:
            y = y.to(memory_format=torch.channels_last)
        return network.run(y).float().cpu().numpy()

    return run


def captured(network: Network, x: torch.Tensor) -> Callable[[], object]:
    """A run as a CUDA graph; without a GPU the run itself."""
    if network.device == "cpu":
        return partial(network.run, x)
    for _ in range(3):
        network.run(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = network.run(x)
    return partial(_replay, graph, (x, output))


def _replay(graph: torch.cuda.CUDAGraph, _kept: tuple[torch.Tensor, ...]) -> None:
    graph.replay()  # the graph does not keep the tensors that it reads and writes


def plain(name: str, network: Network, batch: int) -> Candidate:
    """The network as it is."""
    run = partial(timed, partial(network.run, network.input(batch)), network.device)
    return Candidate(name, network.precision, batch, run, end_to_end(network, batch))


def as_graph(name: str, network: Network, batch: int) -> Candidate:
    """The network as a CUDA graph."""
    run = partial(timed, captured(network, network.input(batch)), network.device)
    return Candidate(name, network.precision, batch, run)


def prepare(options: StageOptions) -> Ready:
    """Every eager candidate at every batch size."""
    ready = Ready()
    own_stream(options)
    for precision, last, fused in (_EAGER[0], _EAGER[-1]) if options.dry else _EAGER:
        network = load(options, precision, last=last, fused=fused)
        words = [f"torch eager {precision}", *(["channels last"] * last), *(["fused"] * fused)]
        for batch in BATCHES:
            for name, make in (
                (", ".join(words), plain),
                (", ".join([*words, "CUDA graph"]), as_graph),
            ):
                ready.add(name, batch, partial(make, name, network, batch))
    return ready


def own_stream(options: StageOptions) -> None:
    """Make a stream of its own the current one: the default one synchronises with others."""
    if not options.dry:
        torch.cuda.set_stream(torch.cuda.Stream())  # type: ignore[no-untyped-call] # torch's


if __name__ == "__main__":
    sys.exit(run_stage(lambda options: answer(prepare, options)))

"""The class that times on a GPU, with the GPU taken away from under it."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu.kernels import fast
from benchmarks.gpu.kernels.cases import Case, fusion_called
from benchmarks.gpu.kernels.device import Gpu
from benchmarks.gpu.kernels.dry import DryCpu
from lrn_deploy.plugins import gpu

PLANE = (96, 55, 55)
BANDWIDTH = 3e12


class FakeEvent:
    """An event that says 40 ms."""

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None: ...

    def synchronize(self) -> None: ...

    def elapsed_time(self, _end: FakeEvent) -> float:
        return 40.0


class FakeGraph:
    """A graph of nothing."""

    def replay(self) -> None: ...


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """The class for GPUs on the CPU's memory, with a second cache of 10,000 bytes."""
    properties = SimpleNamespace(L2_cache_size=10_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", lambda _graph: nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(gpu, "on_gpu", lambda x, fusion, _tile: DryCpu().fused(x, fusion))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    device = Gpu()
    device.name = "cpu"
    return device


def test_inputs_are_together_four_second_caches(pretended: Gpu) -> None:
    assert len(pretended.inputs((1, 1000), torch.float32)) == 10
    assert len(pretended.inputs((1, 1001), torch.float16)) == 20
    assert len(pretended.inputs((1, 50_000), torch.float32)) == 1


@pytest.mark.parametrize("count", [1, 3, 20, 21])
def test_a_graph_s_outputs_belong_to_its_inputs(pretended: Gpu, count: int) -> None:
    inputs = [torch.tensor([float(at)]) for at in range(count)]
    run = pretended.captured(lambda x: x + 100, inputs)
    assert [float(y) for y in run.outputs] == [100.0 + at for at in range(count)]
    assert run.calls == pretended.calls_through(inputs)
    assert run.how == "graph"
    assert pretended.seconds(run) == pytest.approx(0.04 / run.calls)
    assert len(run.host_s) == 1


def test_a_case_is_timed_by_graphs_and_events(pretended: Gpu) -> None:
    small = Case(
        fusion_called("relu_lrn_maxpool"), "first", "float32", (32, 6, 7, 7), closely=False
    )
    row = fast.attempt(pretended, small, BANDWIDTH)
    assert row["wrong"] == []
    assert row["how"] == ["graph"]
    assert row["not_run"] == {}
    assert set(row["samples_s"]) == {"fused", "copy", "torch eager", "unfused pair"}
    assert len(row["samples_s"]["fused"]) == pretended.rounds

"""What is timed on the device, and around what, on a fake GPU."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from lrn_deploy.errors import BadInputError, DamagedError
from tests.support.fake_gpu import FakeGpu, double
from tests.unit.tensorrt.sessions import batch, session, use


@pytest.mark.parametrize("captures_graphs", [False, True])
def test_layers_are_timed_without_graphs_and_those_of_one_name_added_up(
    captures_graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [("conv", 0.5), ("norm", 0.25), ("conv", 0.125)]
    gpu = use(FakeGpu(captures_graphs=captures_graphs, layer_times=layers), monkeypatch)
    with session(gpu) as loaded:
        loaded.run({"x": batch(2)})
        gpu.cuda.calls.clear()
        assert loaded.profile_layers(2) == {"conv": 0.625, "norm": 0.25}
        assert gpu.graphs_asked == [True, False]
        assert gpu.cuda.calls == ["run"] * 4  # three to warm up
        with pytest.raises(BadInputError):
            loaded.profile_layers(9)


@pytest.mark.parametrize(
    ("captures_graphs", "graphs", "launch", "asked"),
    [
        (False, True, ["graph", "run"], True),
        (False, False, ["run"], False),
        (True, True, ["run"], True),
        (True, False, ["run"], False),
    ],
)
def test_the_network_alone_is_timed_between_events(
    captures_graphs: bool,
    graphs: bool,
    launch: list[str],
    asked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = use(FakeGpu(captures_graphs=captures_graphs), monkeypatch)
    with session(gpu) as loaded:
        loaded.run({"x": batch(4)})
        gpu.cuda.calls.clear()
        assert loaded.time_on_device(2, 5, graphs=graphs) > 0
        timed = ["event", *launch * 5, "event"]
        assert gpu.cuda.calls[-len(timed) :] == timed
        assert gpu.cuda.calls[:3] == ["run"] * 3
        gpu.cuda.calls.clear()
        loaded.time_on_device(2, 5, graphs=graphs)
        assert gpu.cuda.calls == timed  # warmed up once
        assert gpu.graphs_asked == [True, asked]
    assert not gpu.cuda.memory
    assert not gpu.cuda.events
    assert (gpu.cuda.graphs, gpu.cuda.streams) == (0, 0)


def test_the_time_is_that_of_one_run_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(feeds: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        time.sleep(0.004)
        return double(feeds)

    gpu = use(FakeGpu(network=slow), monkeypatch)
    with session(gpu) as loaded:
        assert 0.004 <= loaded.time_on_device(1, 5) < 0.02


def test_what_cannot_be_timed(gpu: FakeGpu) -> None:
    with session(gpu) as loaded:
        with pytest.raises(BadInputError, match="batches of 1 to 8, got 9"):
            loaded.time_on_device(9, 1)
        with pytest.raises(BadInputError, match="0 runs"):
            loaded.time_on_device(1, 0)
        gpu.broken = True
        with pytest.raises(DamagedError, match="failed to run"):
            loaded.time_on_device(1, 1)
        gpu.broken = False
        assert loaded.time_on_device(1, 1) > 0
    assert not gpu.cuda.events

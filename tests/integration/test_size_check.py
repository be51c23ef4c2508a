"""The check of the sizing model against a real server: its instruments, not its verdict."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from benchmarks.size_check import measure
from benchmarks.size_check.measure import Cores, fitted, levels, overheads
from lrn_deploy.load.options import LoadOptions
from tests.support.digits_bundle import digits_bundle
from tests.support.latency_reports import with_profile

pytestmark = pytest.mark.usefixtures("unmeasured", "forked_servers")
CORES = Cores.of_this_machine()
SECONDS = 0.5


@pytest.fixture(autouse=True)
def soon_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LEAD_SECONDS", 0.1)
    monkeypatch.setattr(measure, "LoadOptions", functools.partial(LoadOptions, warmup=0.1))


def test_levels_are_measured_beside_what_is_predicted(tmp_path: Path) -> None:
    times = {"model on onnxruntime:cpu": {1: [0.0005], 4: [0.0007]}}
    bundle = with_profile(digits_bundle(tmp_path / "digits"), times)
    before = os.sched_getaffinity(0)
    told = levels(CORES, bundle, 4, (0.05,), SECONDS)
    assert os.sched_getaffinity(0) == before
    (level,) = told["levels"]
    assert level["rate"] == 0.05 * told["saturated"]["measured_per_second"] > 0
    assert level["failed"] == {}
    due, latencies = (list(map(float, level[name].split())) for name in ("due_s", "latency_s"))
    assert due == sorted(due)
    assert len(due) == len(latencies) >= level["sent"] > 0
    assert level["offered"] == pytest.approx(level["sent"] / SECONDS)
    assert min(latencies) - 1e-5 <= level["measured_s"]["50"] <= level["measured_s"]["99"]
    assert level["measured_s"]["99"] <= max(latencies) + 1e-5
    assert level["predicted_s"]["50"] > 0.0005


def test_overheads_are_positive_times(tmp_path: Path) -> None:
    told = overheads(CORES, tmp_path, 0.2)
    assert len(told["measured"]) == 4
    for one in told["measured"]:
        assert one["answers"] >= one["batches"] > 0
        assert one["server_cpu_s"] > 0
    assert told["fitted"] == vars(fitted(told["measured"]))

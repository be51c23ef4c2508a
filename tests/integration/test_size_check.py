"""The check of the sizing model against a real server: its instruments, not its verdict."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.size_check.measure import Cores, levels, overheads
from tests.support.digits_bundle import digits_bundle
from tests.support.latency_reports import with_profile

pytestmark = pytest.mark.usefixtures("unmeasured")
CORES = Cores.of_this_machine()


def test_levels_are_measured_beside_what_is_predicted(tmp_path: Path) -> None:
    times = {"model on onnxruntime:cpu": {1: [0.0005], 4: [0.0007]}}
    bundle = with_profile(digits_bundle(tmp_path / "digits"), times)
    before = os.sched_getaffinity(0)
    told = levels(CORES, bundle, 4, (0.05,), 0.5)
    assert os.sched_getaffinity(0) == before
    (level,) = told["levels"]
    assert level["throughput"] == pytest.approx(level["rate"], rel=0.3)
    assert 0 < level["measured_s"]["50"] <= level["measured_s"]["99"] < 1
    assert level["predicted_s"]["50"] > 0.0005
    assert len(level["due_s"]) == len(level["latency_s"]) > 10
    assert told["saturated"]["measured_per_second"] > level["rate"]


def test_overheads_are_positive_times(tmp_path: Path) -> None:
    told = overheads(CORES, tmp_path, 0.2)
    assert len(told["measured"]) == 4
    for one in told["measured"]:
        assert one["answers"] >= one["batches"] > 0
        assert one["server_cpu_s"] > 0
    assert 0 < told["fitted"]["per_request"] < 0.01

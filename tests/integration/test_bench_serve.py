"""The serving benchmark's instruments, with lrn-server alone: the peers need environments."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.load import LEAD_SECONDS, drive
from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.offline import offline
from benchmarks.peers.processes import family
from benchmarks.serve import bursts
from benchmarks.serve.bursts import all_started
from benchmarks.serve.networks import nothing
from benchmarks.serve.start import starts

pytestmark = pytest.mark.usefixtures("unmeasured")


def test_servers_take_turns_and_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bursts, "_WARM_SECONDS", 0.1)
    bundle = nothing(tmp_path, floats=False)
    with all_started(bundle, tmp_path, 1, 4, CONTENDERS[:1]) as (ours,):
        told = ours.burst(4, 0.3)
        assert told["answers"] > 4
        assert told["wrong"] == 0
        assert told["refused"] == {}
        assert 0 < told["per_second"] <= told["answers"] / 0.3  # the last ones may come later
        assert told["server_cpu_ms"] > 0
        longer = ours.burst(4, LEAD_SECONDS + 0.3)
        assert longer["steady_per_second"] > 0
        assert 0 < longer["steady_client_cpu_share"] < 2
        assert 20e6 < ours.memory_bytes < 1e9

        used = ours.server.cpu_seconds()
        time.sleep(0.1)
        assert ours.server.cpu_seconds() == used  # it is stopped, and so are its threads
        assert {_state(process) for process in family(ours.server.pid)} == {"T"}

        with ours.awake():
            offered = ours.burst(8, 0.5, per_second=40)
            assert offered["answers"] == 20
        ours.server.resume()
        wrong = drive(
            ours.server.http_port,
            [ours.request],
            connections=1,
            seconds=0.1,
            right=lambda _index, body: CONTENDERS[0].right(ours.expected + 1, body),
        )
        assert wrong.wrong == wrong.statuses[200] > 0


def test_nothing_gives_the_first_pixel_and_the_bare_session_runs_it(tmp_path: Path) -> None:
    import onnxruntime

    bundle = nothing(tmp_path, floats=True)
    graph = bundle.path / "model.onnx"
    x = np.random.default_rng(0).normal(size=(2, 3, 227, 227)).astype(np.float32)
    found = onnxruntime.InferenceSession(graph).run(None, {"input": x})[0]
    assert np.array_equal(found, x[:, :, 0, 0])
    with offline(graph, 1, 4) as session:
        assert session.per_second(0.1) > 10
        assert session.process.memory_bytes() > 10e6


def _state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(") ")[2].split()[0]


def test_starts_are_timed_beside_a_bare_session(tmp_path: Path) -> None:
    told = starts(nothing(tmp_path, floats=False), threads=1, rows=4, rounds=1)
    assert 0.05 < told["bare_s"][0] < told["lrn-server_s"][0] < 20
    assert told["ratios"] == [told["lrn-server_s"][0] / told["bare_s"][0]]
    assert not told["torch_was_loaded"]

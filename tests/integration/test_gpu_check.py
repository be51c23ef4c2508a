"""The GPU check as a whole, dry: every stage on the CPU and the fake GPU, in one real run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks import gpu_check
from benchmarks.gpu.parity import FULL
from tests.support.exported import exported
from tests.support.warm_gpu_check import EXPORTED

pytest.importorskip("tensorrt_rtx", reason="the check builds its engines with tensorrt-rtx")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("unmeasured"),
]

SECONDS = 300
STAGES = [name for name, *_ in gpu_check._TABLE]


class Run(NamedTuple):
    """A finished check."""

    out: Path
    code: int
    said: str
    seconds: float

    def stage(self, name: str) -> dict[str, Any]:
        """What a stage has written: strict JSON, finished, nothing wrong."""

        def refuse(constant: str) -> None:
            raise ValueError(f"{constant} is no JSON")

        text = (self.out / f"{name}.json").read_text(encoding="utf-8")
        content: dict[str, Any] = json.loads(text, parse_constant=refuse)
        assert (content["stage"], content["dry"], content["finished"]) == (name, True, True)
        assert content["failed"] == []
        return content


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("gpu-check")
    start = time.monotonic()
    done = subprocess.run(
        [
            # Nearly all of a process's time are imports: all but one are forked, without them.
            *(sys.executable, "-m", "tests.support.warm_gpu_check"),
            *("--dry", "--out", folder / "out"),
            *("--seconds", str(SECONDS), "--pack", folder / "all.tar.gz"),
        ],
        cwd=gpu_check.ROOT,
        env=os.environ
        | {"XDG_CACHE_HOME": str(folder / "cache"), "OPENBLAS_NUM_THREADS": "1"}
        | {EXPORTED: str(exported("digits", folder / "digits").path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(folder / "out", done.returncode, done.stdout, time.monotonic() - start)


def test_it_goes_through_every_stage_in_its_time(check: Run) -> None:
    assert check.code == 0, check.said
    assert check.seconds < SECONDS
    summary = json.loads((check.out / "summary.json").read_text())
    assert {name: row["state"] for name, row in summary["stages"].items()} == dict.fromkeys(
        STAGES, "passed"
    )
    assert (summary["passed"], summary["failures"]) == (True, [])
    for name in STAGES:
        content = check.stage(name)
        assert content["machine"]["processor"]
        assert content["versions"]["python"]
        assert f"{name:<14} passed" in check.said
    with tarfile.open(check.out.parent / "all.tar.gz") as packed:
        assert {f"{name}.json" for name in STAGES} <= set(packed.getnames())


def test_the_sides_are_held_against_float64(check: Run) -> None:
    content = check.stage("parity")
    assert content["engines_run"] == 2
    for side in ("torch", "onnxruntime", "tensorrt"):
        rows = [row for row in content[side] if "check" in row]
        assert {row["check"]["inputs"] for row in rows} >= {"random", "extremes"}
        exact = [row for row in rows if row["what"] == "fp32" or FULL[side] in row["what"]]
        assert max(row["check"]["metrics"]["relative_l2"] for row in exact) < 1e-6
    pairs = {(row["one"], row["other"]) for row in content["side_by_side"]}
    assert pairs == {
        ("torch", "onnxruntime"),
        ("torch", "tensorrt"),
        ("torch", "float64"),
        ("onnxruntime", "tensorrt"),
        ("onnxruntime", "float64"),
        ("tensorrt", "float64"),
    }
    assert {row["verdict"] for row in content["probes"]} == {"pass"}


def test_all_contenders_take_turns(check: Run) -> None:
    content = check.stage("latency")
    assert "troubles" not in content
    for row in content["device"]:
        timed = {name.split()[0] for name in row["medians_s"]}
        assert {"rtx", "onnxruntime", "torch", "copy"} <= timed
    first = content["device"][0]["medians_s"]
    assert {"torch.compile fp32", "rtx fp16, own LRN layer"} <= set(first)
    assert {"rtx fp16, batch 1"} <= set(first)
    assert "rtx fp16, batch 1" not in content["device"][1]["medians_s"]
    assert all(0 < value < 10 for value in first.values())
    assert content["facts"]["rtx fp32"]["error_against_pytorch_fp32"] < 1e-6


def test_the_server_answers_right_and_what_it_served_is_told(check: Run) -> None:
    served = check.stage("server")["served"]
    assert served["artifact"] == "model"
    assert served["wrong"] == 0
    assert served["statuses"].keys() == {"200"}
    assert served["statuses"]["200"] >= 8  # one of each client's


def test_kernels_are_checked_with_poisoned_outputs(check: Run) -> None:
    content = check.stage("kernels_right")
    assert len(content["equality"]) == 72
    assert [row["how"] for row in content["networks"]] == ["eager", "compiled"]
    assert {row["verdict"] for row in content["equality"] + content["networks"]} == {"pass"}
    assert all(row["poisoned"] == 1 for row in content["equality"])
    for key in ("compiled", "compiled_for_kernels_fast"):
        assert content[key]["kernels"] == 1
    assert any((check.out / "work" / "triton").rglob("*.cubin"))


def test_kernels_are_timed_beside_others(check: Run) -> None:
    content = check.stage("kernels_fast")
    assert content["copy_bandwidth"] == max(content["copy_bandwidth_samples"])
    rows = content["timings"]
    assert len(rows) == 8
    closely = [row for row in rows if "torch.compile" in row["samples_s"]]
    assert [row["dtype"] for row in closely] == ["float32"] * 4
    for row in rows:
        pooled = "maxpool" in row["fusion"]
        assert {"fused", "copy"} <= set(row["samples_s"])
        assert ("unfused pair" in row["samples_s"]) == pooled
        assert row["terabytes_per_s"]["fused"] > 0
        assert row["shape"] == [2, 12, 11, 11]
    assert all(row["best_tile"] for row in closely)
    names = {row["rival"] for row in content["rivals"]}
    assert names == {"onnxruntime", "rtx", "tensorrt"}
    assert all("speedup" in row or row["not_run"] for row in content["rivals"])
    assert len(check.stage("kernels_tiles")["cases"]) == 8

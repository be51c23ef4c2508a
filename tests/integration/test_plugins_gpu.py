"""The fused kernels on a GPU; what of their benchmark can be checked without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.kernels import cases as benchmark
from benchmarks.gpu.kernels import right
from benchmarks.gpu.kernels.device import choose_device
from lrn_deploy.plugins.fusion import NAMES

ROOT = Path(__file__).parents[2]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")


@pytest.mark.gpu
@needs_gpu
def test_every_fusion_type_and_layout_equals_float64() -> None:
    rows = list(right.check_equality(choose_device(dry=False)))
    assert len(rows) == 72
    assert right.failures(rows) == []


@pytest.mark.gpu
@needs_gpu
def test_a_fused_network_eagerly_and_compiled() -> None:
    rows = list(right.check_networks(choose_device(dry=False)))
    assert [row["how"] for row in rows] == ["eager", "compiled"]
    assert right.failures(rows) == []


def test_the_other_implementations_of_the_benchmark_mean_the_same() -> None:
    x = 30 * torch.randn(2, 12, 11, 11)
    for name in NAMES:
        fusion = benchmark.fusion_called(name)
        found = getattr(torch.ops.lrn_deploy, name)(x, 5, 1e-4, 0.75, 2.0)
        torch.testing.assert_close(found, benchmark.in_torch(x, fusion), rtol=1e-5, atol=1e-6)


def dry_stage(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.gpu.{name}", "--out", folder, "--dry"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    content: dict[str, Any] = json.loads(
        (folder / f"{name}.json").read_text(), parse_constant=refuse
    )
    assert content["finished"]
    assert content["failed"] == []
    assert (content["dry"], content["device"]) == (True, "cpu")
    return content


@pytest.mark.slow
def test_checking_goes_through_dry(tmp_path: Path) -> None:
    content = dry_stage("kernels_right", tmp_path)
    assert len(content["equality"]) == 72
    assert [row["how"] for row in content["networks"]] == ["eager", "compiled"]
    assert {row["verdict"] for row in content["equality"] + content["networks"]} == {"pass"}
    assert all(row["poisoned"] == 1 for row in content["equality"])
    for key in ("compiled", "compiled_for_kernels_fast"):
        assert content[key]["kernels"] == 1
    assert any((tmp_path / "work" / "triton").rglob("*.cubin"))


@pytest.mark.slow
def test_timing_goes_through_dry(tmp_path: Path) -> None:
    content = dry_stage("kernels_fast", tmp_path)
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

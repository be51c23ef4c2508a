"""The fused kernels on a GPU; what of their benchmark can be checked without one."""

from __future__ import annotations

from pathlib import Path

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

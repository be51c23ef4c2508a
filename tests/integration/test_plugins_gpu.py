"""The fused kernels on a GPU; what of their benchmark can be checked without one."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import kernels as benchmark
from lrn_deploy.models import ZOO
from lrn_deploy.plugins.rewrite import fuse_lrn

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")


@pytest.mark.gpu
@needs_gpu
def test_every_fusion_type_and_layout_equals_float64() -> None:
    wrong = [row for row in benchmark.check_equality() if row["verdict"] != "pass"]
    assert wrong == []


@pytest.mark.gpu
@needs_gpu
def test_a_fused_network_eagerly_and_compiled() -> None:
    network = ZOO["digits"].build().eval().cuda()
    x = 50 * torch.randn(4, *ZOO["digits"].input_shape, device="cuda")
    torch.backends.cudnn.allow_tf32 = False
    with torch.no_grad():
        wanted = network(x)
        fuse_lrn(network)
        torch.testing.assert_close(network(x), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(torch.compile(network)(x), wanted, rtol=1e-4, atol=1e-4)


def test_the_traffic_of_alexnet_s_first_block() -> None:
    shape = (32, 96, 55, 55)
    norm, pooled = (benchmark.fusion_called(name) for name in ("relu_lrn", "relu_lrn_maxpool"))
    values = 32 * 96 * 55 * 55
    assert benchmark.traffic(norm, shape, 2) == 2 * values * 2
    assert benchmark.traffic(pooled, shape, 2) == (values + 32 * 96 * 27 * 27) * 2


def test_targets_are_judged() -> None:
    row = {"fusion": "relu_lrn", "batch": 32, "share_of_floor": {"fused": 0.7}, "not_run": {}}
    found = benchmark.judge(row, {"fused": 1.0, "torch eager": 6.0})
    assert found["speedup"]["torch eager"] == 6
    assert found["missed"] == ["70% of the copy's bandwidth, not 80%"]
    row |= {"fusion": "relu_lrn_maxpool"}
    found = benchmark.judge(row, {"fused": 1.0, "torch eager": 6.0, "unfused pair": 1.2})
    assert found["missed"] == ["1.20 times unfused pair, not 1.5"]
    assert benchmark.judge(row | {"batch": 8}, {"fused": 1.0, "torch eager": 2.0})["missed"] == []


def test_the_other_implementations_of_the_benchmark_mean_the_same() -> None:
    x = 30 * torch.randn(2, 12, 11, 11)
    for name in benchmark.NAMES:
        fusion = benchmark.fusion_called(name)
        found = getattr(torch.ops.lrn_deploy, name)(x, 5, 1e-4, 0.75, 2.0)
        torch.testing.assert_close(found, benchmark.in_torch(x, fusion), rtol=1e-5, atol=1e-6)

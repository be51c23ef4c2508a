"""The fused layers in whole networks, and the fused graph where no plugin is known."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from lrn_deploy.models import ZOO
from lrn_deploy.passes.half_precision import half_precision
from lrn_deploy.passes.lrn.fuse_plugin import fuse_plugin
from lrn_deploy.plugins.rewrite import fuse_lrn
from lrn_deploy.tensorrt.build import BuildRequest
from tests.support import narrow
from tests.support.engine_builds import built_here
from tests.support.engine_graphs import SPEC, lrn_node, model

BLOCKS = {
    "alexnet": ["relu_lrn_maxpool", "relu_lrn_maxpool"],
    "alexnet_grouped": ["relu_lrn_maxpool", "relu_lrn_maxpool"],
    "caffenet": ["relu_maxpool_lrn", "relu_maxpool_lrn"],
    "zfnet": ["relu_lrn_maxpool", "relu_lrn_maxpool"],
    "vgg_cnn_s": ["relu_lrn_maxpool"],
    "googlenet": ["relu_maxpool_lrn", "relu_lrn_maxpool"],
    "levi_hassner_age": ["relu_maxpool_lrn", "relu_maxpool_lrn"],
    "levi_hassner_gender": ["relu_maxpool_lrn", "relu_maxpool_lrn"],
    "nn4_small2": ["relu_maxpool_lrn", "relu_lrn_maxpool"],
    "digits": ["relu_lrn_maxpool", "relu_lrn_maxpool"],
}


LOUD = {"nn4_small2": 170.0}
"""Where 1e4 is too loud: an LRN that only saturates is a factor, which a unit length hides."""


ROUNDING = {"levi_hassner_gender": 2e-5}
"""Its only two logits are small differences of large sums; 6e-6 was seen."""


def test_all_networks_with_lrn_are_here() -> None:
    assert set(BLOCKS) == {name for name, entry in ZOO.items() if entry.lrn}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_fused_network_of_the_zoo_equals_itself(name: str) -> None:
    network = narrow.build(ZOO[name]).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    # Loud enough for LRN to act; the rest of the network is linear but for ReLU.
    x = torch.randn(1, *ZOO[name].input_shape, generator=torch.Generator().manual_seed(0))
    x *= LOUD.get(name, 1e4)
    with torch.no_grad():
        before = network(x)
        done = fuse_lrn(network)
        after = network(x)
        for layer in network.modules():
            if isinstance(layer, nn.LocalResponseNorm):
                layer.alpha *= 1.1
        fault = unfused(network)(x)
    assert [item.name for item in done] == BLOCKS[name]
    assert not any(item.reason for item in done)
    size = before.norm()
    limit = ROUNDING.get(name, 5e-6)
    assert (after - before).norm() / size < limit
    assert (fault - before).norm() / size > 100 * limit  # such an input would have shown it


def unfused(network: nn.Module) -> nn.Module:
    """The network again with its original layers."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ == "FusedLrn":
                setattr(module, name, child.stages)
    return network


def block(batch: int | str = "batch") -> bytes:
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        onnx.helper.make_node("Relu", ["c"], ["r"], "relu"),
        lrn_node(SPEC, "r", "n"),
        onnx.helper.make_node("MaxPool", ["n"], ["y"], "pool", kernel_shape=[3, 3], strides=[2, 2]),
    ]
    weights = {"w": np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)}
    return model(nodes, {"x": (batch, 3, 12, 12)}, {"y": (batch, 8, 4, 4)}, weights)


@pytest.mark.parametrize("half", [False, True])
def test_the_fused_graph_runs_on_onnx_runtime_and_builds_with_tensorrt_rtx(half: bool) -> None:
    pytest.importorskip("tensorrt_rtx", reason="builds an engine")
    graph = ir.from_proto(onnx.load_from_string(block()))
    if half:
        half_precision(graph, "fp16", lrn_layers=[("r", "n")])
    plain = ir.to_proto(graph).SerializeToString()
    (done,) = fuse_plugin(graph)
    assert done.name == "relu_lrn_maxpool"
    fused = ir.to_proto(graph).SerializeToString()
    x = np.random.default_rng(1).normal(size=(2, 3, 12, 12)).astype(np.float32) * 30
    results = [
        ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for data in (plain, fused)
    ]
    np.testing.assert_array_equal(*results)
    request = BuildRequest(targets=("sm86",), batch=(1, 2, 4))
    built = built_here("rtx", fused, request)
    kinds = [layer.type for layer in built.layers]
    assert [kind for kind in kinds if kind in ("ACTIVATION", "LRN", "POOLING")] == [
        "ACTIVATION",
        "LRN",
        "POOLING",
    ]
    assert not any("PLUGIN" in kind for kind in kinds)

"""What looks like LRN and is none is told; what was proven to be one is not told twice."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from lrn_deploy.bundle import ModelSource, Weights
from lrn_deploy.export import to_onnx
from lrn_deploy.network import Network

SHAPE = (4, 6, 6)


class Within(nn.Module):
    """Over a square of pixels of one channel."""

    def forward(self, x: Tensor) -> Tensor:
        squares = functional.avg_pool2d(x * x, 3, 1, 1)
        return x / (1 + 0.5 * squares) ** 0.75


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.within, self.across = Within(), nn.LocalResponseNorm(3, 3e-4, 0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.across(torch.relu(self.within(x)))
        return result


def network(module: nn.Module) -> Network:
    weights = Weights(kind="factory", note="none", sha256="ab")
    source = ModelSource(
        name="n", factory="f", origin="factory", input_shape=SHAPE, weights=weights
    )
    return Network(module.eval(), source, None, None)


def test_lrn_over_pixels_is_told_with_its_reason_and_stays() -> None:
    export = to_onnx(network(Both()))
    (like,) = export.lrn_like
    assert like.name == "within"
    assert like.reason
    (layer,) = export.lrn_layers
    assert (layer.name, layer.spec.size, layer.origin, layer.form) == (
        "across", 3, "module", "kept",
    )  # fmt: skip
    assert layer.shape == ("batch", *SHAPE)
    model = onnx.load_from_string(export.data)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("LRN") == 1
    assert "AveragePool" in operators
    told = {item.key: item.value for item in model.metadata_props}
    assert (told["model"], told["factory"], told["weights"], told["weights_sha256"]) == (
        "n", "f", "none", "ab",
    )  # fmt: skip
    (spec,) = export.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("input", "float32", ("batch", *SHAPE))


def test_a_network_without_any_has_none() -> None:
    export = to_onnx(network(nn.ReLU()))
    assert (export.lrn_like, export.lrn_layers) == ((), ())
    assert np.array_equal([layer.module for layer in export.layers], ["(top)"])

"""``nn.CrossMapLRN2d`` is exported as PyTorch computes it, which is not LRN."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import ArtifactData, ModelSource, Weights
from lrn_deploy.errors import BadInputError
from lrn_deploy.export import OnnxExport, to_onnx
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.network import Network


def exported(module: nn.Module, *shape: int) -> OnnxExport:
    source = ModelSource(
        name="test",
        factory="test",
        origin="factory",
        input_shape=shape,
        weights=Weights(kind="factory"),
    )
    return to_onnx(Network(module.eval(), source, None, None))


def run(export: OnnxExport, x: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    with OnnxRuntimeBackend().load(ArtifactData("model", "onnx", export.data)) as session:
        return session.run({"input": x})["output"]


def strong(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("size", "alpha", "beta", "k"),
    [(5, 1e-4, 0.75, 2.0), (3, 1e-2, 0.5, 1.0), (4, 1e-3, 1.5, 1.0), (1, 1e-4, 0.75, 1.0)],
)
def test_numbers_are_pytorchs_at_any_batch_and_not_those_of_lrn(
    size: int, alpha: float, beta: float, k: float, batch: int
) -> None:
    module = nn.CrossMapLRN2d(size, alpha, beta, k)
    export = exported(module, 12, 3, 4)
    x = strong(batch, 12, 3, 4)
    y = run(export, x)
    truth = module(torch.from_numpy(x.astype(np.float64))).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-6)
    # PyTorch's own running sum loses a digit here and there in fp32.
    in_fp32 = module(torch.from_numpy(x)).numpy()
    assert np.linalg.norm(y - in_fp32) < 1e-6 * np.linalg.norm(in_fp32)
    (layer,) = export.lrn_layers
    assert (layer.spec, layer.convention) == (LrnSpec(size, alpha, beta, k), "cross-map")
    assert layer.form == "written out"
    # Were channel 0 let go, as LRN does, this would be seen.
    assert abs(reference(x, layer.spec) / truth - 1).max() > 8e-3


def test_it_says_so_and_what_to_do() -> None:
    (layer,) = exported(nn.Sequential(nn.ReLU(), nn.CrossMapLRN2d(5)), 12, 3, 4).lrn_layers
    assert layer.name == "1"
    assert "from channel 3 on it is no LRN" in layer.reason
    assert "numbers are kept" in layer.reason
    assert "nn.LocalResponseNorm" in layer.reason


@pytest.mark.usefixtures("traced_capture")
def test_where_it_is_lrn_it_becomes_one_lrn_node() -> None:
    module = nn.CrossMapLRN2d(9, 1e-4, 0.75, 2.0)
    export = exported(module, 5, 3, 4)
    assert [node.op_type for node in onnx.load_from_string(export.data).graph.node] == ["LRN"]
    (layer,) = export.lrn_layers
    assert (layer.form, layer.convention, layer.reason) == ("kept", "torch", "")
    x = strong(3, 5, 3, 4)
    truth = module(torch.from_numpy(x.astype(np.float64))).numpy()
    np.testing.assert_allclose(run(export, x), truth, rtol=1e-6)


@pytest.mark.usefixtures("traced_capture")
def test_another_rank_is_refused_as_pytorch_refuses_it() -> None:
    with pytest.raises(BadInputError, match="rank 4, got rank 3"):
        exported(nn.CrossMapLRN2d(5), 12, 3)

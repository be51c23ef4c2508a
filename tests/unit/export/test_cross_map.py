"""``nn.CrossMapLRN2d`` is exported as PyTorch computes it, which is not LRN."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.bundle import ArtifactData, ModelSource, Weights
from lrn_deploy.errors import BadInputError
from lrn_deploy.export import OnnxExport, to_onnx
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.network import Network
from lrn_deploy.network.inputs import one_input
from tests.support.networks import LrnOfEach


def exported(module: nn.Module, *shape: int, inputs: int = 0) -> OnnxExport:
    source = ModelSource(
        name="test",
        factory="test",
        origin="factory",
        input_shape=shape,
        weights=Weights(kind="factory"),
    )
    specs = tuple(one_input(shape, name=f"x{at}") for at in range(inputs))
    return to_onnx(Network(module.eval(), source, None, None, specs))


def run(export: OnnxExport, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
    names = [spec.name for spec in export.inputs]
    with OnnxRuntimeBackend().load(ArtifactData("model", "onnx", export.data)) as session:
        return list(session.run(dict(zip(names, inputs, strict=True))).values())


def strong(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)


SPECS = (
    LrnSpec(5, 1e-4, 0.75, 2.0),
    LrnSpec(3, 1e-2, 0.5, 1.0),
    LrnSpec(4, 1e-3, 1.5, 1.0),
    LrnSpec(1, 1e-4, 0.75, 1.0),
)


def cross_map(spec: LrnSpec) -> nn.CrossMapLRN2d:
    return nn.CrossMapLRN2d(spec.size, spec.alpha, spec.beta, spec.k)


@pytest.fixture(scope="module")
def several() -> OnnxExport:
    """A layer of each of SPECS, on an input of its own."""
    return exported(LrnOfEach(*map(cross_map, SPECS)), 12, 3, 4, inputs=len(SPECS))


@pytest.mark.parametrize("batch", [1, 3])
def test_numbers_are_pytorchs_at_any_batch_and_not_those_of_lrn(
    several: OnnxExport, batch: int
) -> None:
    x = strong(batch, 12, 3, 4)
    outputs = run(several, *[x] * len(SPECS))
    for spec, layer, y in zip(SPECS, several.lrn_layers, outputs, strict=True):
        module = cross_map(spec)
        truth = module(torch.from_numpy(x.astype(np.float64))).numpy()
        np.testing.assert_allclose(y, truth, rtol=1e-6)
        # PyTorch's own running sum loses a digit here and there in fp32.
        in_fp32 = module(torch.from_numpy(x)).numpy()
        assert np.linalg.norm(y - in_fp32) < 1e-6 * np.linalg.norm(in_fp32)
        assert (layer.spec, layer.convention) == (spec, "cross-map")
        assert layer.form == "written out"
        # Were channel 0 let go, as LRN does, this would be seen.
        assert abs(reference(x, spec) / truth - 1).max() > 8e-3


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
    np.testing.assert_allclose(run(export, x)[0], truth, rtol=1e-6)


@pytest.mark.usefixtures("traced_capture")
def test_another_rank_is_refused_as_pytorch_refuses_it() -> None:
    with pytest.raises(BadInputError, match="rank 4, got rank 3"):
        exported(nn.CrossMapLRN2d(5), 12, 3)

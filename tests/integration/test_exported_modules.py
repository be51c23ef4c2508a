"""Modules that a program has made: exported, and validated against what was exported."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrn_deploy


class Small(nn.Module):
    """A convolution, LRN and classes; nothing says the shape of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.LocalResponseNorm(5, 1e-2))
        self.classes = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classes(self.features(x).mean((2, 3)))
        return y


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(3)
    return Small()


def test_a_module_is_exported_and_left_as_it_is(tmp_path: Path, net: nn.Module) -> None:
    net.double().train()
    made = lrn_deploy.export(
        net, tmp_path / "b", input_shape=(3, 9, 9), preprocessing={"mean": 0.5, "std": 0.5}
    )  # type: ignore[arg-type]
    source = made.manifest.model
    assert (source.origin, source.factory) == ("module", f"{__name__}.Small")
    assert (source.weights.kind, source.weights.note) == (
        "module",
        "as the module held them; float64 as float32",
    )
    assert made.manifest.preprocessing is not None
    assert made.manifest.preprocessing.mean == (0.5,) * 3
    assert net.training
    assert {value.dtype for value in net.parameters()} == {torch.float64}
    x = np.random.default_rng(0).normal(size=(4, 3, 9, 9)).astype(np.float32)
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(x.astype(np.float64))).numpy()
    with made.load() as network:
        assert np.allclose(network(x), expected, rtol=1e-4, atol=1e-5)


def test_a_module_is_the_reference_as_it_was_exported_and_can_fail(
    tmp_path: Path, net: nn.Module
) -> None:
    made = lrn_deploy.export(net, tmp_path / "b", input_shape=(3, 9, 9))
    before = net.classes.bias.detach().clone()
    with torch.no_grad():
        net.classes.bias += 1  # the program trains on
    report = made.validate(batches=(1,))
    assert report.verdict == "pass"
    assert any(check.kind == "reference" and check.metrics for check in report.checks)
    with pytest.raises(lrn_deploy.BadInputError, match="no longer those that were exported"):
        lrn_deploy.open(made.path, module=net)
    with torch.no_grad():
        net.classes.bias.copy_(before)
    net.features[2].alpha = 2e-2  # the same weights, another network
    assert lrn_deploy.open(made.path, module=net).validate(batches=(1,)).verdict == "fail"


def test_without_its_module_a_bundle_says_what_to_do(tmp_path: Path, net: nn.Module) -> None:
    nn.init.normal_(net.classes.weight)  # no other test's, which may yet be in memory
    path = lrn_deploy.export(net, tmp_path / "b", input_shape=(3, 9, 9)).path
    gc.collect()
    with pytest.raises(lrn_deploy.BadInputError) as caught:
        lrn_deploy.open(path).validate(batches=(1,))
    assert "exported from a" in caught.value.message
    assert "module=net" in caught.value.hint
    assert lrn_deploy.open(path, module=net).validate(batches=(1,)).verdict == "pass"
    report = lrn_deploy.open(path).validate(batches=(1,))  # by the outputs that were stored
    assert report.verdict == "pass"
    assert any("stored outputs did" in warning for warning in report.warnings)


@pytest.mark.parametrize("model", [3, nn.Linear, lambda: Small()])
def test_what_is_no_network_is_refused(tmp_path: Path, model: object) -> None:
    with pytest.raises(lrn_deploy.BadInputError, match="is no network"):
        lrn_deploy.export(model, tmp_path / "b")  # type: ignore[arg-type]
    assert not (tmp_path / "b").exists()


def test_example_inputs_go_with_a_module(tmp_path: Path, net: nn.Module) -> None:
    made = lrn_deploy.export(net, tmp_path / "b", example_inputs=torch.zeros(2, 3, 9, 9))
    assert made.manifest.inputs[0].shape == ("batch", 3, 9, 9)
    assert not hasattr(net, "example_inputs")
    with pytest.raises(lrn_deploy.BadInputError, match="go with a module"):
        lrn_deploy.export("digits", tmp_path / "c", example_inputs=torch.zeros(2, 1, 8, 8))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_is_refused_with_the_way_out(tmp_path: Path, net: nn.Module) -> None:
    with pytest.raises(lrn_deploy.BadInputError, match="TorchScript has already compiled"):
        lrn_deploy.export(torch.jit.script(net), tmp_path / "b", input_shape=(3, 9, 9))

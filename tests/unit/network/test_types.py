"""Networks of another type than fp32, and what is no ordinary module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lrn_deploy.errors import BadInputError
from lrn_deploy.export.graph import to_onnx
from lrn_deploy.network import load_network, reload_network
from lrn_deploy.network.floats import as_float32

CODE = """
import torch
from torch import nn
def base():
    torch.manual_seed(3)
    lrn = nn.LocalResponseNorm(5)
    return nn.Sequential(nn.Conv2d(3, 6, 3), lrn, nn.Flatten(), nn.Linear(54, 2))
def half(): return base().half()
def double(): return base().double()
def mixed(): network = base(); network[3].bfloat16(); return network
def scripted(): return torch.jit.script(base())
def traced(): return torch.jit.trace(base(), torch.zeros(1, 3, 5, 5))
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    file = tmp_path / "nets.py"
    file.write_text(CODE)
    return file


@pytest.mark.parametrize(
    ("factory", "turned"),
    [
        ("half", "float16 as float32"),
        ("double", "float64 as float32"),
        ("mixed", "bfloat16 as float32"),
    ],
)
def test_another_type_is_exported_as_fp32_and_told(code: Path, factory: str, turned: str) -> None:
    network = load_network(f"{code}:{factory}", input_shape=(3, 5, 5))
    assert network.source.weights.note.endswith(turned)
    assert {tensor.dtype for tensor in network.module.parameters()} == {torch.float32}
    exported = to_onnx(network)
    assert [spec.dtype for spec in (*exported.inputs, *exported.outputs)] == ["float32"] * 2
    assert [layer.form for layer in exported.lrn_layers] == ["kept"]
    assert reload_network(network.source).source.weights == network.source.weights


def test_half_weights_keep_their_values() -> None:
    network = nn.Linear(4, 3).half()
    before = network.weight.detach().clone()
    assert as_float32(network) == "float16 as float32"
    assert torch.equal(network.weight, before.float())
    assert as_float32(network) == ""


def test_a_file_s_digits_are_not_rounded_to_the_half_network_s(code: Path, tmp_path: Path) -> None:
    whole = load_network(f"{code}:double", input_shape=(3, 5, 5)).module
    file = tmp_path / "weights.pt"
    torch.save(whole.state_dict(), file)
    filled = load_network(f"{code}:half", weights=file, input_shape=(3, 5, 5)).module
    for name, value in whole.state_dict().items():
        assert torch.equal(filled.state_dict()[name], value)


@pytest.mark.parametrize("factory", ["scripted", "traced"])
def test_a_compiled_network_is_refused_with_the_way_out(code: Path, factory: str) -> None:
    with pytest.raises(BadInputError, match="TorchScript has already compiled") as caught:
        load_network(f"{code}:{factory}", input_shape=(3, 5, 5))
    assert "Return the nn.Module that was given to torch.jit.script" in caught.value.hint

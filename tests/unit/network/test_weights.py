"""Where weights come from, and what is refused on the way."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lrn_deploy.bundle import sha256
from lrn_deploy.errors import BadInputError
from lrn_deploy.network import load_network
from lrn_deploy.network.files import WeightsFile
from lrn_deploy.network.weights import fill, initialize_he, read_checkpoint


def tiny_state(scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "conv.weight": scale * torch.randn(4, 3, 3, 3, generator=generator),
        "conv.bias": torch.arange(4.0),
    }


def prefixed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"module.{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        OrderedDict,
        lambda state: {"model": state},
        lambda state: {"state_dict": state, "epoch": 90},
        lambda state: {"model": prefixed(state), "optimizer": {"lr": 0.01}},
        lambda state: {"model": {"state_dict": prefixed(state)}},
        prefixed,
    ],
    ids=["plain", "ordered", "model", "state_dict", "model+module", "nested", "module"],
)
def test_checkpoint_loads_however_it_was_wrapped(tmp_path: Path, factory: str, wrap: Any) -> None:
    file = tmp_path / "weights.pt"
    torch.save(wrap(tiny_state()), file)
    loaded = load_network(factory, weights=file)
    assert torch.equal(loaded.module.state_dict()["conv.weight"], tiny_state()["conv.weight"])
    assert loaded.source.weights.kind == "file"
    assert loaded.source.weights.file == str(file)
    assert loaded.source.weights.sha256 == sha256(file.read_bytes())


def test_safetensors_checkpoint_loads(tmp_path: Path, factory: str) -> None:
    save_file(prefixed(tiny_state()), tmp_path / "weights.safetensors")
    loaded = load_network(factory, weights=tmp_path / "weights.safetensors")
    assert torch.equal(loaded.module.state_dict()["conv.bias"], torch.arange(4.0))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_truncated_checkpoint_is_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save(tiny_state(), file)
    else:
        save_file(tiny_state(), file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if keep == 0.5 else int(keep)])
    with pytest.raises(BadInputError, match="weights"):
        read_checkpoint(WeightsFile(file))


class Payload:
    """A pickle that makes a file when it is loaded carelessly."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_pickled_code_never_runs(tmp_path: Path, writer: str) -> None:
    trace = tmp_path / "owned"
    content = {"model": tiny_state(), "extra": Payload(trace)}
    file = tmp_path / "weights.pt"
    if writer == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(BadInputError, match="tensors only") as caught:
        read_checkpoint(WeightsFile(file))
    assert not trace.exists()
    assert "never loaded" in caught.value.hint
    pickle.loads(pickle.dumps(Payload(trace)))
    assert trace.exists(), "the payload would have worked"


@pytest.mark.parametrize(
    "content", [[1, 2], torch.zeros(3), {"epoch": 3}, {"model": {"a": "b"}}], ids=str
)
def test_checkpoint_without_a_state_dict_is_refused(
    tmp_path: Path, factory: str, content: Any
) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(BadInputError, match="holds no state dict"):
        load_network(factory, weights=tmp_path / "weights.pt")


@pytest.mark.parametrize("name", ["missing.pt", "."])
def test_checkpoint_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match="Cannot read the weights file"):
        read_checkpoint(WeightsFile(tmp_path / name))


def test_weights_of_another_network_are_named_key_by_key(tmp_path: Path, factory: str) -> None:
    state = {"conv.weight": torch.zeros(4, 3, 5, 5), "head.bias": torch.zeros(2)}
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(BadInputError, match="weights of another network") as caught:
        load_network(factory, weights=tmp_path / "other.pt")
    message = caught.value.message
    assert "missing: conv.bias" in message
    assert "unexpected: head.bias" in message
    assert "conv.weight is (4, 3, 5, 5), should be (4, 3, 3, 3)" in message


def test_long_lists_of_keys_are_cut(tmp_path: Path, factory: str) -> None:
    torch.save({f"k{i}": torch.zeros(1) for i in range(9)}, tmp_path / "other.pt")
    with pytest.raises(BadInputError, match="k0, k1, k2, k3, k4 and 4 more"):
        load_network(factory, weights=tmp_path / "other.pt")


def test_he_initialisation_has_his_variance_and_no_bias() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(64, 256, 3), torch.nn.Linear(1000, 1000))
    initialize_he(layers, seed=3)
    conv, linear = layers
    # He et al. 2015, equation 10: the variance is 2 / fan-in; 64 * 9 = 576 and 1000 here.
    assert float(conv.weight.detach().var()) == pytest.approx(2 / 576, rel=0.02)
    assert float(linear.weight.detach().var()) == pytest.approx(2 / 1000, rel=0.02)
    assert not conv.bias.any()
    assert not linear.bias.any()


def test_he_initialisation_depends_on_the_seed_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(torch.seed() % 1000)
        layer = torch.nn.Linear(5, 5)
        initialize_he(layer, seed)
        return layer.weight.detach().clone()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_file_given_by_a_relative_path_is_recorded_where_it_lies(
    tmp_path: Path, factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tiny_state(), tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    weights = load_network(factory, weights=Path("weights.pt")).source.weights
    assert weights.file == str((tmp_path / "weights.pt").resolve())


def test_the_digest_of_weights_without_a_file_is_of_names_and_values() -> None:
    def digest(*layers: tuple[str, torch.nn.Module]) -> str | None:
        module = torch.nn.Sequential(OrderedDict(layers))
        return fill(module, None, None, seed=0).sha256

    first, second = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)
    plain = digest(("a", first), ("b", second))
    assert plain == digest(("a", first), ("b", second))
    assert plain != digest(("a", first), ("c", second))
    assert plain != digest(("a", second), ("b", first))

"""Where networks and weights come from, and what is refused on the way."""

from __future__ import annotations

import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lrn_deploy import network
from lrn_deploy.bundle import sha256
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.network import default_preprocessing, load_network, reload_network
from lrn_deploy.network.weights import initialize_he, read_checkpoint

FACTORY = """
import torch
from torch import nn

class Tiny(nn.Module):
    input_shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.LocalResponseNorm(3)

    def forward(self, x):
        return self.norm(self.conv(x)).flatten(1)

def build():
    return Tiny()

def shapeless():
    return nn.Conv2d(3, 4, 3)

def broken():
    raise ValueError("no such option")

def leaving():
    raise SystemExit(3)

def text():
    return "not a module"

number = 7
"""


@pytest.fixture(autouse=True)
def own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a factory adds its folder to ``sys.path``; no other test shall find it there."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def factory(tmp_path: Path) -> str:
    file = tmp_path / "tiny.py"
    file.write_text(FACTORY)
    return f"{file}:build"


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
        read_checkpoint(file)


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
        read_checkpoint(file)
    assert not trace.exists()
    assert "never loaded" in caught.value.hint
    pickle.loads(pickle.dumps(Payload(trace)))
    assert trace.exists(), "the payload would have worked"


@pytest.mark.parametrize(
    "content", [[1, 2], torch.zeros(3), {"epoch": 3}, {"model": {"a": "b"}}], ids=str
)
def test_checkpoint_without_a_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(BadInputError, match="holds no state dict"):
        read_checkpoint(tmp_path / "weights.pt")


@pytest.mark.parametrize("name", ["missing.pt", "."])
def test_checkpoint_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match="Cannot read the weights file"):
        read_checkpoint(tmp_path / name)


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


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("broken", r"raised ValueError: no such option"),
        ("leaving", r"raised SystemExit: 3"),
        ("text", r"returned a str"),
        ("number", r"no callable named 'number'"),
        ("absent", r"no callable named 'absent'"),
        ("shapeless", r"input shape of .* is not known"),
    ],
)
def test_factory_that_gives_no_network_is_refused(factory: str, name: str, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        load_network(factory.replace(":build", f":{name}"))


def test_shape_can_be_given_where_the_module_has_none(factory: str) -> None:
    loaded = load_network(factory.replace(":build", ":shapeless"), input_shape=(3, 9, 9))
    assert loaded.source.input_shape == (3, 9, 9)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("nowhere.py:build", "There is no file 'nowhere.py'"),
        ("no_such_package.module:build", "Cannot import 'no_such_package.module'"),
        ("alexnett", "There is no network named 'alexnett'"),
        (":build", "There is no network named ':build'"),
        ("tiny.py:", "There is no network named 'tiny.py:'"),
    ],
)
def test_factory_that_is_not_there_is_refused(where: str, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        load_network(where)


def test_unknown_network_lists_the_zoo() -> None:
    with pytest.raises(BadInputError) as caught:
        load_network("alexnett")
    assert "alexnet, " in caught.value.hint


@pytest.mark.parametrize("text", ["import", "raise SystemExit(1)", "1/0"])
def test_file_that_cannot_be_imported_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(BadInputError, match="cannot be imported"):
        load_network(f"{tmp_path / 'bad.py'}:build")
    assert "_lrn_deploy_user_bad" not in sys.modules


def test_factory_file_runs_as_python_would_run_it(tmp_path: Path) -> None:
    """It finds the files beside it, and its dataclasses find their module."""
    (tmp_path / "layers_beside.py").write_text("from torch import nn\nLayer = nn.Conv2d\n")
    (tmp_path / "net.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from layers_beside import Layer\n"
        "@dataclass\n"
        "class Options:\n"
        "    width: int = 4\n"
        "def build():\n"
        "    return Layer(3, Options().width, 3)\n"
    )
    loaded = load_network(f"{tmp_path / 'net.py'}:build", input_shape=(3, 8, 8))
    assert loaded.module.out_channels == 4


def test_factory_of_a_module_here_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str
) -> None:
    Path(factory.rpartition(":")[0]).rename(tmp_path / "tiny_module_here.py")
    monkeypatch.chdir(tmp_path)
    loaded = load_network("tiny_module_here:build")
    assert loaded.source.factory == "tiny_module_here:build"
    assert loaded.source.name == "build"


def test_network_says_where_it_came_from(factory: str) -> None:
    source = load_network(factory, seed=5).source
    assert (source.origin, source.factory, source.input_shape) == ("factory", factory, (3, 8, 8))
    assert (source.weights.kind, source.weights.seed) == ("factory", 5)
    assert source.weights.note == "as the factory made them"


def test_relative_factory_file_is_recorded_as_absolute(
    factory: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_network("tiny.py:build").source.factory == factory


def test_zoo_network_refuses_another_shape() -> None:
    with pytest.raises(BadInputError, match=r"takes inputs of shape \(1, 8, 8\), not \(3, 9, 9\)"):
        load_network("digits", input_shape=(3, 9, 9))


def test_modules_are_in_evaluation_mode(factory: str) -> None:
    assert not load_network(factory).module.training


def test_reload_gives_the_same_network(tmp_path: Path, factory: str) -> None:
    torch.save(tiny_state(), tmp_path / "weights.pt")
    first = load_network(factory, weights=tmp_path / "weights.pt")
    again = reload_network(first.source)
    x = torch.ones(1, 3, 8, 8)
    assert torch.equal(first.module(x), again.module(x))
    assert again.source == first.source


def test_reload_repeats_a_seeded_factory(factory: str) -> None:
    first = load_network(factory, seed=11)
    again = reload_network(first.source)
    assert torch.equal(first.module.conv.weight, again.module.conv.weight)
    assert not torch.equal(first.module.conv.weight, load_network(factory).module.conv.weight)


def test_reload_finds_changed_weights(tmp_path: Path, factory: str) -> None:
    torch.save(tiny_state(), tmp_path / "weights.pt")
    source = load_network(factory, weights=tmp_path / "weights.pt").source
    torch.save(tiny_state(scale=2.0), tmp_path / "weights.pt")
    with pytest.raises(BadInputError, match="no longer those that were exported"):
        reload_network(source)


def test_reload_finds_weights_gone(tmp_path: Path, factory: str) -> None:
    torch.save(tiny_state(), tmp_path / "weights.pt")
    source = load_network(factory, weights=tmp_path / "weights.pt").source
    (tmp_path / "weights.pt").unlink()
    with pytest.raises(BadInputError, match="Cannot read the weights file"):
        reload_network(source)


def test_reload_finds_a_factory_that_makes_other_weights_each_time(tmp_path: Path) -> None:
    (tmp_path / "unseeded.py").write_text(
        "import time, torch\n"
        "def build():\n"
        "    layer = torch.nn.Linear(4, 2)\n"
        "    torch.nn.init.constant_(layer.weight, time.time_ns() % 1e9)\n"
        "    return layer\n"
    )
    source = load_network(f"{tmp_path}/unseeded.py:build", input_shape=(4,)).source
    with pytest.raises(BadInputError, match="no longer those") as caught:
        reload_network(source)
    assert "--weights" in caught.value.hint


def test_shipped_weights_reload() -> None:
    source = load_network("digits").source
    assert source.weights.kind == "shipped"
    assert reload_network(source).source == source


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


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 224, 224), ("RGB", 256, (224, 224))),
        ((3, 32, 48), ("RGB", None, (32, 48))),
        ((1, 28, 28), ("L", None, (28, 28))),
        ((1, 112, 112), ("L", 128, (112, 112))),
        ((3, 100, 300), ("RGB", None, (100, 300))),
    ],
)
def test_default_preprocessing_of_image_shapes(shape: Any, expected: Any) -> None:
    found = default_preprocessing(shape)
    assert found is not None
    assert (found.mode, found.resize, found.crop) == expected
    assert len(found.mean) == len(found.std) == shape[0]


@pytest.mark.parametrize("shape", [(5, 24, 24), (3, 8), (3, 4, 5, 6), (10,)])
def test_other_shapes_have_no_preprocessing(shape: tuple[int, ...]) -> None:
    assert default_preprocessing(shape) is None


def test_missing_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingError) as caught:
        load_network("alexnet")
    assert "lrn-deploy[export]" in caught.value.hint

"""Where a network's module comes from, and what is refused on the way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lrn_deploy.errors import BadInputError
from lrn_deploy.network import load_network
from lrn_deploy.network.factory import class_name, own_copy


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


def test_what_lies_beside_a_factory_is_found_first_and_its_folder_listed_once(
    tmp_path: Path, factory: str
) -> None:
    for _ in range(2):
        load_network(factory)
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_factory_of_a_module_here_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str
) -> None:
    Path(factory.rpartition(":")[0]).rename(tmp_path / "tiny_module_here.py")
    monkeypatch.chdir(tmp_path)
    loaded = load_network("tiny_module_here:build")
    assert loaded.source.factory == "tiny_module_here:build"
    assert loaded.source.name == "build"


def test_relative_factory_file_is_recorded_as_absolute(
    factory: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_network("tiny.py:build").source.factory == factory


def test_a_module_that_is_given_is_called_by_its_class() -> None:
    """Its file's name and its own, nested as Python has it."""
    module = nn.Sequential(nn.Flatten())
    assert class_name(module) == "torch.nn.modules.container.Sequential"

    class Mine(nn.Flatten):
        pass

    assert class_name(Mine()).endswith(
        "test_a_module_that_is_given_is_called_by_its_class.<locals>.Mine"
    )
    source = load_network(module, input_shape=(3,)).source
    assert (source.name, source.factory) == ("Sequential", class_name(module))


def test_a_module_is_copied_and_what_cannot_be_copied_is_refused() -> None:
    module = nn.Sequential(nn.Linear(2, 2)).train()
    copied = own_copy(module)
    assert copied is not module
    assert (copied.training, module.training) == (False, True)
    assert copied.state_dict()["0.weight"].equal(module.state_dict()["0.weight"])
    with pytest.raises(BadInputError, match=r"The network is a \w*ScriptModule"):
        own_copy(torch.jit.script(nn.ReLU()))
    with pytest.raises(BadInputError, match="A dict is no network"):
        own_copy({})
    module.held = (line for line in "text")  # type: ignore[assignment]
    with pytest.raises(BadInputError, match="The network cannot be copied: TypeError"):
        own_copy(module)

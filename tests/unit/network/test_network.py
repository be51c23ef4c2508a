"""Networks as a whole: what they say about themselves, and that they can be built again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lrn_deploy import network
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.network import default_preprocessing, load_network, reload_network


def save(file: Path, value: float) -> None:
    """Write a checkpoint of the factory's network."""
    torch.save({"conv.weight": torch.full((4, 3, 3, 3), value), "conv.bias": torch.ones(4)}, file)


def test_network_says_where_it_came_from(factory: str) -> None:
    source = load_network(factory, seed=5).source
    assert (source.origin, source.factory, source.input_shape) == ("factory", factory, (3, 8, 8))
    assert (source.weights.kind, source.weights.seed) == ("factory", 5)
    assert source.weights.note == "as the factory made them"


def test_zoo_network_refuses_another_shape() -> None:
    with pytest.raises(BadInputError, match=r"takes inputs of shape \(1, 8, 8\), not \(3, 9, 9\)"):
        load_network("digits", input_shape=(3, 9, 9))


def test_modules_are_in_evaluation_mode(factory: str) -> None:
    assert not load_network(factory).module.training


def test_reload_gives_the_same_network(tmp_path: Path, factory: str) -> None:
    save(tmp_path / "weights.pt", 0.5)
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
    save(tmp_path / "weights.pt", 0.5)
    source = load_network(factory, weights=tmp_path / "weights.pt").source
    save(tmp_path / "weights.pt", 0.25)
    with pytest.raises(BadInputError, match="no longer those that were exported"):
        reload_network(source)


def test_reload_finds_weights_gone(tmp_path: Path, factory: str) -> None:
    save(tmp_path / "weights.pt", 0.5)
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
    assert install("export") in caught.value.hint

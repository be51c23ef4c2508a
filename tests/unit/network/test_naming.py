"""Weights under others' names and in others' order of axes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrn_deploy.errors import BadInputError
from lrn_deploy.models import ZOO
from lrn_deploy.models.names import FOREIGN
from lrn_deploy.network import load_network, reload_network
from lrn_deploy.network.fitting import find_weights
from lrn_deploy.network.formats import parse
from lrn_deploy.network.naming import renamed

Tensors = dict[str, torch.Tensor]
TORCHVISION = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
ARTICLE = [f"net.{i}" for i in (0, 4, 8, 10, 12)] + [f"classifier.{i}" for i in (1, 4, 6)]
CAFFE = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


@cache
def own_state(network: str) -> Mapping[str, torch.Tensor]:
    """What the network wants, without memory for it."""
    with torch.device("meta"):
        return ZOO[network].build().state_dict()


def hollow(shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor of this shape that takes the room of one number."""
    return torch.zeros(()).expand(shape)


@pytest.mark.parametrize("network", FOREIGN)
def test_a_table_names_each_layer_with_weights_and_no_name_twice(network: str) -> None:
    layers = {key.rpartition(".")[0] for key in own_state(network)}
    for names in FOREIGN[network].tables:
        assert set(names.layers) == layers
        theirs = [name for parts in names.layers.values() for name in parts]
        assert len(theirs) == len(set(theirs))
    assert set(FOREIGN[network].planes) <= layers


def test_every_network_without_shipped_weights_has_a_table() -> None:
    assert {name for name, entry in ZOO.items() if entry.weights is None} == set(FOREIGN)


@pytest.mark.parametrize("network", ["alexnet", "alexnet_grouped", "caffenet"])
@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (TORCHVISION, (".weight", ".bias")),
        (ARTICLE, (".weight", ".bias")),
        (CAFFE, (".weight", ".bias")),
        (CAFFE, ("/0", "/1")),
        (CAFFE, ("/weights", "/biases")),
        (CAFFE, ("/W", "/b")),
    ],
    ids=["torchvision", "article", "caffe", "numbers", "words", "letters"],
)
def test_alexnets_fit_under_any_of_their_names(
    network: str, names: list[str], keys: tuple[str, str]
) -> None:
    own = own_state(network)
    values = list(own.values())
    content = {
        f"{name}{key}": hollow(tuple(values[2 * place + which].shape))
        for place, name in enumerate(names)
        for which, key in enumerate(keys)
    }
    fit = find_weights(content, own, "w.npz", "", network)
    assert {key: value.shape for key, value in fit.state.items()} == {
        key: value.shape for key, value in own.items()
    }
    assert bool(fit.renamed) == (set(content) != set(own))


def test_the_arrays_of_tensorflow_are_turned_and_fc6_reads_channels_first() -> None:
    """Computed by hand: what TensorFlow would do with its arrays, and PyTorch with ours."""
    draw = np.random.default_rng(2).standard_normal
    own = {
        "conv2.weight": torch.empty(4, 3, 5, 2),
        "conv2.bias": torch.empty(4),
        "fc6.weight": torch.empty(7, 9216),
        "fc6.bias": torch.empty(7),
        "fc7.weight": torch.empty(7, 7),
    }
    theirs = {
        "conv2/0": draw((5, 2, 3, 4)),  # high, wide, in, out
        "conv2/1": draw(4),
        "fc6/0": draw((9216, 7)),
        "fc6/1": draw(7),
        "fc7/0": draw((7, 7)),
    }
    tensors = {key: torch.from_numpy(value) for key, value in theirs.items()}
    readings = dict(renamed(tensors, own, "alexnet_grouped"))
    state = {key: value.numpy() for key, value in readings["Caffe's names, HWIO"].items()}
    assert set(state) == set(own)
    assert all(state[key].shape == own[key].shape for key in own)
    for out, channel, high, wide in np.ndindex(4, 3, 5, 2):
        expected = theirs["conv2/0"][high, wide, channel, out]
        assert state["conv2.weight"][out, channel, high, wide] == expected
    plane = draw((256, 6, 6))  # as PyTorch flattens it; TensorFlow has channels last
    tensorflow = plane.transpose(1, 2, 0).reshape(-1) @ theirs["fc6/0"]
    np.testing.assert_allclose(state["fc6.weight"] @ plane.reshape(-1), tensorflow, rtol=1e-12)
    without = theirs["fc6/0"].T @ plane.reshape(-1)
    assert not np.allclose(without, tensorflow), "the order of the plane matters"
    np.testing.assert_array_equal(state["fc7.weight"], theirs["fc7/0"].T)
    plain = readings["Caffe's names"]
    assert plain["conv2.weight"].shape == (5, 2, 3, 4), "whose shape is then told to be wrong"


def test_a_square_matrix_follows_the_order_of_the_convolutions() -> None:
    own = own_state("levi_hassner_gender")
    content = {
        f"{key.replace('.weight', '/0').replace('.bias', '/1')}": hollow(tuple(value.shape))
        for key, value in own.items()
    }
    content["fc7/0"] = torch.arange(512.0).expand(512, 512)
    fit = find_weights(content, own, "w.npz", "", "levi_hassner_gender")
    assert fit.renamed == "Caffe's names"
    assert torch.equal(fit.state["fc7.weight"], content["fc7/0"])
    turned = {
        key: value.permute(2, 3, 1, 0) if value.dim() == 4 else value.t()
        for key, value in content.items()
    }
    fit = find_weights(turned, own, "w.npz", "", "levi_hassner_gender")
    assert fit.renamed == "Caffe's names, HWIO"
    assert torch.equal(fit.state["fc7.weight"], content["fc7/0"])


@pytest.mark.parametrize(("one", "other"), [("_1", "_2"), ("a", "b")])
@pytest.mark.parametrize("order", ["", "HWIO"])
def test_two_towers_halves_are_joined_along_their_outputs(one: str, other: str, order: str) -> None:
    halves = [torch.full((128, 48, 5, 5), 1.0), torch.full((128, 48, 5, 5), 2.0)]
    tensors = {
        f"conv2{suffix}/{place}": value
        for suffix, half in ((one, halves[0]), (other, halves[1]))
        for place, value in enumerate((half, half[:, 0, 0, 0]))
    }
    if order:
        tensors = {k: v.permute(2, 3, 1, 0) if v.dim() == 4 else v for k, v in tensors.items()}
    readings = dict(renamed(tensors, own_state("caffenet"), "caffenet"))
    told = f"two towers' ({one}, {other}) names" + (f", {order}" if order else "")
    assert torch.equal(readings[told]["conv2.weight"], torch.cat(halves))
    bias = torch.tensor([1.0, 2.0]).repeat_interleave(128)
    assert torch.equal(readings[told]["conv2.bias"], bias)


def test_halves_that_do_not_belong_together_are_told_not_joined() -> None:
    tensors = {
        "conv2_1/0": torch.zeros(128, 48, 5, 5),
        "conv2_2/0": torch.zeros(128, 48, 3, 3),
        "conv4_1/0": torch.zeros(()),
        "conv4_2/0": torch.zeros(()),
    }
    with pytest.raises(BadInputError, match=r"conv2\.weight is \(128, 48, 5, 5\), should be"):
        find_weights(tensors, own_state("caffenet"), "w.npz", "", "caffenet")


def test_a_part_that_is_there_twice_is_not_chosen_between() -> None:
    own = own_state("levi_hassner_age")
    content = {
        key.replace(".weight", "/0").replace(".bias", "/1"): hollow(tuple(value.shape))
        for key, value in own.items()
    }
    assert find_weights(content, own, "w.npz", "", "levi_hassner_age").renamed
    content["fc7/weights"] = hollow((512, 512))
    with pytest.raises(BadInputError, match=r"missing: conv1\.weight"):
        find_weights(content, own, "w.npz", "", "levi_hassner_age")


def test_what_only_one_half_has_is_not_dropped() -> None:
    own = own_state("caffenet")
    whole = {
        key.replace(".weight", "/0").replace(".bias", "/1"): hollow(tuple(value.shape))
        for key, value in own.items()
        if not key.startswith(("conv2.", "conv4.", "conv5."))
    }
    for name in ("conv2", "conv4", "conv5"):
        for half in ("_1", "_2"):
            shape = tuple(own[f"{name}.weight"].shape)
            whole[f"{name}{half}/0"] = hollow((shape[0] // 2, *shape[1:]))
            whole[f"{name}{half}/1"] = hollow((shape[0] // 2,))
    assert find_weights(whole, own, "w.npz", "", "caffenet").renamed.startswith("two towers'")
    with pytest.raises(BadInputError, match=r"unexpected: conv4\.gain"):
        find_weights({**whole, "conv4_2/gain": hollow((1,))}, own, "w.npz", "", "caffenet")


def test_blobs_of_caffes_from_before_they_had_ranks_fit() -> None:
    own = own_state("levi_hassner_age")
    content = {}
    for key, value in own.items():
        part = "/0" if key.endswith(".weight") else "/1"
        shape = (1,) * (4 - value.dim()) + tuple(value.shape)
        content[key.rpartition(".")[0] + part] = hollow(shape)
    fit = find_weights(content, own, "w.npz", "", "levi_hassner_age")
    assert fit.state["fc8.weight"].shape == (8, 512)
    assert fit.state["fc8.bias"].shape == (8,)


def test_googlenet_fits_under_caffes_names_and_those_with_lines() -> None:
    own = own_state("googlenet")
    for names in FOREIGN["googlenet"].tables:
        content = {
            f"{names.layers[key.rpartition('.')[0]][0]}/{int(key.endswith('bias'))}": hollow(
                tuple(value.shape)
            )
            for key, value in own.items()
        }
        assert len(content) == len(own)
        fit = find_weights(content, own, "w.npz", "", "googlenet")
        assert fit.renamed == f"{names.whose} names"


def test_grouped_weights_do_not_fit_one_tower_and_the_layer_is_named() -> None:
    grouped = own_state("alexnet_grouped")
    content = {
        key.replace(".weight", "/0").replace(".bias", "/1"): hollow(tuple(value.shape))
        for key, value in grouped.items()
    }
    with pytest.raises(
        BadInputError, match=r"net\.4\.weight is \(256, 48, 5, 5\), should be \(256, 96, 5, 5\)"
    ):
        find_weights(content, own_state("alexnet"), "bvlc.npz", "", "alexnet")


def test_tables_are_for_the_zoo_only() -> None:
    own = {"conv.weight": torch.empty(2, 1, 3, 3)}
    with pytest.raises(BadInputError, match=r"unexpected: conv/0"):
        find_weights({"conv/0": torch.empty(2, 1, 3, 3)}, own, "w.npz", "")


def small_face() -> dict[str, list[np.ndarray[Any, Any]]]:
    """Weights of ``levi_hassner_gender`` as bvlc_alexnet.npy has those of AlexNet."""
    draw = np.random.default_rng(3)
    layers: dict[str, list[np.ndarray[Any, Any]]] = {}
    for key, value in own_state("levi_hassner_gender").items():
        turned = (2, 3, 1, 0) if value.dim() == 4 else (1, 0) if value.dim() == 2 else (0,)
        shape = [value.shape[axis] for axis in turned]
        number = draw.standard_normal(shape, dtype=np.float32)
        layers.setdefault(key.rpartition(".")[0], []).append(number)
    return layers


class TestPickledDictionary:
    """``bvlc_alexnet.npy`` and its kin: one pickled dictionary in a ``.npy``."""

    def test_it_is_refused_with_the_line_that_converts_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        layers = small_face()
        np.save(tmp_path / "face.npy", np.array(layers, dtype=object), allow_pickle=True)
        with pytest.raises(BadInputError, match=r"'face\.npy' holds Python objects") as caught:
            load_network("levi_hassner_gender", weights=tmp_path / "face.npy")
        words = shlex.split(caught.value.hint.partition(": ")[2])
        assert words[:2] == ["python", "-c"]
        monkeypatch.chdir(tmp_path)
        exec(words[2], {})
        loaded = load_network("levi_hassner_gender", weights=tmp_path / "face.npz")
        state = loaded.module.state_dict()
        assert np.array_equal(
            state["conv2.weight"].numpy(), layers["conv2"][0].transpose(3, 2, 0, 1)
        )
        fc6 = layers["fc6"][0].reshape(7, 7, 384, 512).transpose(3, 2, 0, 1).reshape(512, -1)
        assert np.array_equal(state["fc6.weight"].numpy(), fc6)
        weights = loaded.source.weights
        assert weights.renamed == "Caffe's names, HWIO"
        assert weights.note == "from face.npz, by Caffe's names, HWIO"
        assert reload_network(loaded.source).source == loaded.source

    def test_the_line_takes_dictionaries_of_dictionaries_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nested = {"conv1": {"weights": np.ones(2), "biases": np.zeros(1)}}
        np.save(tmp_path / "slim.npy", np.array(nested, dtype=object), allow_pickle=True)
        with pytest.raises(BadInputError) as caught:
            parse((tmp_path / "slim.npy").read_bytes(), "slim.npy")
        monkeypatch.chdir(tmp_path)
        exec(shlex.split(caught.value.hint.partition(": ")[2])[2], {})
        assert set(np.load("slim.npz").files) == {"conv1/weights", "conv1/biases"}

    def test_nothing_of_it_runs(self, tmp_path: Path) -> None:
        trace = tmp_path / "owned"

        class Payload:
            def __reduce__(self) -> tuple[Any, tuple[str]]:
                return os.mkdir, (str(trace),)

        np.save(tmp_path / "w.npy", np.array(Payload(), dtype=object), allow_pickle=True)
        for name in ("w.npy", "w.npz", "w.pt", "w"):  # its content tells, whatever it is called
            with pytest.raises(BadInputError, match="holds Python objects"):
                parse((tmp_path / "w.npy").read_bytes(), name)
        assert not trace.exists()
        np.load(tmp_path / "w.npy", allow_pickle=True)
        assert trace.exists(), "the payload would have worked"

    @pytest.mark.parametrize("name", ["a b.npy", "$(reboot).npy", "'.npy", '".npy', "w.pt"])
    def test_a_name_that_a_shell_would_take_for_its_own_is_not_repeated(
        self, tmp_path: Path, name: str
    ) -> None:
        np.save(tmp_path / "w.npy", np.array({}, dtype=object), allow_pickle=True)
        with pytest.raises(BadInputError) as caught:
            parse((tmp_path / "w.npy").read_bytes(), name)
        assert "np.load('FILE.npy'" in caught.value.hint
        assert "np.savez('FILE.npz'" in caught.value.hint


@pytest.mark.parametrize("keep", [6, 20, None])
def test_a_plain_or_damaged_npy_is_no_dictionary(tmp_path: Path, keep: int | None) -> None:
    np.save(tmp_path / "w.npy", np.ones((3, 4)))
    data = (tmp_path / "w.npy").read_bytes()[:keep]
    with pytest.raises(BadInputError, match=r"^'w\.npy' is no dictionary of weights") as caught:
        parse(data, "w.npy")
    assert caught.value.hint.startswith("Save them by name: numpy.savez(")

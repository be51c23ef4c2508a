"""Checkpoints as people save them: under any key, behind any wrapper, with anything beside them."""

from __future__ import annotations

import argparse
import pathlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lrn_deploy.errors import BadInputError
from lrn_deploy.models import WEIGHTS_FOLDER
from lrn_deploy.network import load_network, reload_network

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def digits() -> State:
    return load_file(WEIGHTS_FOLDER / "digits.safetensors")


def behind(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


CASES: list[tuple[str, Callable[[State], Any], str, tuple[str, ...]]] = [
    ("compiled", lambda s: behind("_orig_mod.", s), "", ("_orig_mod.",)),
    ("compiled ddp", lambda s: behind("_orig_mod.module.", s), "", ("_orig_mod.module.",)),
    ("ddp compiled", lambda s: behind("module._orig_mod.", s), "", ("module._orig_mod.",)),
    ("lightning", lambda s: {"state_dict": behind("model.", s)}, "state_dict", ("model.",)),
    ("tutorial", lambda s: {"model_state_dict": s, "epoch": 3}, "model_state_dict", ()),
    ("net", lambda s: {"net": behind("module.", s), "acc": 93.1}, "net", ("module.",)),
    (
        "namespace",
        lambda s: {"state_dict": s, "args": argparse.Namespace(lr=1)},
        "state_dict",
        (),
    ),
    ("network", lambda s: {"network": behind("net.", s)}, "network", ("net.",)),
    ("params", lambda s: {"params": behind("backbone.", s)}, "params", ("backbone.",)),
    ("ema", lambda s: {"ema": s, "updates": 7}, "ema", ()),
    ("any key", lambda s: {"my best": behind("a.b.c.", s)}, "my best", ("a.b.c.",)),
    ("in a list", lambda s: [3, {"weights": s}], "1/weights", ()),
    ("with scalars", lambda s: {**s, "epoch": 3, "lr": np.float32(0.1)}, "", ()),
    (
        "numpy history",
        lambda s: {"model": s, "loss": [np.float64(1)], "all": np.ones(3)},
        "model",
        (),
    ),
    ("a path", lambda s: {"model": s, "data": pathlib.PurePosixPath("/x")}, "model", ()),
    ("options", lambda s: {"model": s, "options": SimpleNamespace(a=[1])}, "model", ()),
    ("defaultdict", lambda s: defaultdict(list, model=s), "model", ()),
    (
        "averaged",
        lambda s: {"n_averaged": torch.tensor(5), **behind("module.", s)},
        "",
        ("n_averaged", "module."),
    ),
    (
        "optimizer beside",
        lambda s: {
            "model": s,
            "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1}]},
        },
        "model",
        (),
    ),
]


@pytest.mark.parametrize(
    ("wrap", "mapping", "stripped"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_weights_are_found_and_what_was_unwrapped_is_recorded(
    tmp_path: Path, digits: State, wrap: Any, mapping: str, stripped: tuple[str, ...]
) -> None:
    file = tmp_path / "saved.ckpt"
    torch.save(wrap(digits), file)
    loaded = load_network("digits", weights=file)
    found = loaded.module.state_dict()
    assert all(torch.equal(found[key], digits[key]) for key in digits)
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.module(images), load_network("digits").module(images))
    record = loaded.source.weights
    assert (record.mapping, record.stripped) == (mapping, stripped)
    assert reload_network(loaded.source).source == loaded.source


def test_note_says_what_was_unwrapped(tmp_path: Path, digits: State) -> None:
    torch.save({"net": behind("_orig_mod.module.", digits)}, tmp_path / "acc.pth")
    note = load_network("digits", weights=tmp_path / "acc.pth").source.weights.note
    assert note == "from acc.pth, under 'net', without '_orig_mod.module.'"


def test_wrappers_within_a_network_are_stripped_too(tmp_path: Path) -> None:
    """The examples of PyTorch wrap an AlexNet's features only, and compile what they like."""
    (tmp_path / "parts.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    input_shape = (3, 4, 4)\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.features = nn.Sequential(nn.Conv2d(3, 2, 3))\n"
        "        self.head = nn.Linear(8, 2)\n"
        "def build():\n"
        "    return Net()\n"
    )
    bias = torch.tensor([3.0, 4.0])
    state = {
        "features.module.0.weight": torch.ones(2, 3, 3, 3),
        "features.module.0.bias": bias,
        "head._orig_mod.weight": torch.zeros(2, 8),
        "head._orig_mod.bias": torch.zeros(2),
    }
    torch.save(state, tmp_path / "features.pt")
    loaded = load_network(f"{tmp_path}/parts.py:build", weights=tmp_path / "features.pt")
    assert torch.equal(loaded.module.state_dict()["features.0.bias"], bias)
    assert loaded.source.weights.stripped == ("_orig_mod.", "module.")


def test_a_module_of_the_networks_own_called_module_stays(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    net = nn.Sequential()\n"
        "    net.add_module('module', nn.Linear(4, 2))\n"
        "    return net\n"
    )
    state = {"module.weight": torch.ones(2, 4), "module.bias": torch.ones(2)}
    for stripped in ((), ("module.",)):
        torch.save(behind("".join(stripped), state), tmp_path / "own.pt")
        loaded = load_network(
            f"{tmp_path}/own.py:build", weights=tmp_path / "own.pt", input_shape=(4,)
        )
        assert loaded.source.weights.stripped == stripped


def test_counters_of_batch_normalisation_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(
        "from torch import nn\ndef build():\n    return nn.BatchNorm2d(2)\n"
    )
    state = {
        key: torch.full((2,), 0.5) for key in ("weight", "bias", "running_mean", "running_var")
    }
    torch.save(state, tmp_path / "old.pt")
    factory = f"{tmp_path}/old.py:build"
    loaded = load_network(factory, weights=tmp_path / "old.pt", input_shape=(2, 4, 4))
    assert torch.equal(loaded.module.state_dict()["running_var"], torch.full((2,), 0.5))
    del state["running_mean"]
    torch.save(state, tmp_path / "old.pt")
    with pytest.raises(BadInputError, match="missing: running_mean, num_batches_tracked"):
        load_network(factory, weights=tmp_path / "old.pt", input_shape=(2, 4, 4))


def test_a_network_without_weights_takes_an_empty_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "lrn.py").write_text(
        "from torch import nn\ndef build():\n    return nn.LocalResponseNorm(3)\n"
    )
    torch.save({}, tmp_path / "none.pt")
    factory = f"{tmp_path}/lrn.py:build"
    assert load_network(factory, weights=tmp_path / "none.pt", input_shape=(4, 2, 2))
    torch.save({"weight": torch.ones(1)}, tmp_path / "some.pt")
    with pytest.raises(BadInputError, match="another network; unexpected: weight"):
        load_network(factory, weights=tmp_path / "some.pt", input_shape=(4, 2, 2))


class TestSeveral:
    """Two mappings that fit: a person says which."""

    @pytest.fixture
    def file(self, tmp_path: Path, digits: State) -> Path:
        averaged = {key: value + 1 for key, value in digits.items()}
        torch.save({"model": digits, "model_ema": averaged}, tmp_path / "both.pt")
        return tmp_path / "both.pt"

    def test_both_are_named_and_the_way_to_choose(self, file: Path) -> None:
        with pytest.raises(BadInputError, match="fit this network: 'model', 'model_ema'") as caught:
            load_network("digits", weights=file)
        assert caught.value.hint == "Choose one: --weights 'both.pt#model'."

    def test_one_is_taken_by_its_name(self, file: Path, digits: State) -> None:
        loaded = load_network("digits", weights=Path(f"{file}#model_ema"))
        for key, value in loaded.module.state_dict().items():
            assert torch.equal(value, digits[key] + 1)
        assert loaded.source.weights.file == str(file)
        assert loaded.source.weights.mapping == "model_ema"
        again = reload_network(loaded.source)
        assert torch.equal(next(again.module.parameters()), next(loaded.module.parameters()))

    def test_a_name_that_is_not_there_lists_those_that_are(self, file: Path) -> None:
        with pytest.raises(BadInputError, match="no mapping of tensors named 'ema'") as caught:
            load_network("digits", weights=Path(f"{file}#ema"))
        assert caught.value.hint == "It holds: model, model_ema."

    def test_a_file_of_the_whole_name_wins(self, file: Path, digits: State) -> None:
        whole = Path(f"{file}#model")
        torch.save({key: value - 1 for key, value in digits.items()}, whole)
        loaded = load_network("digits", weights=whole)
        assert torch.equal(next(loaded.module.parameters()), digits["conv1.weight"] - 1)
        assert (loaded.source.weights.file, loaded.source.weights.mapping) == (str(whole), "")
        assert reload_network(loaded.source).source == loaded.source


def test_a_part_of_a_mapping_is_offered_and_taken(tmp_path: Path, digits: State) -> None:
    """Lightning saves the loss function's weights beside the model's, under no common prefix."""
    state = {**behind("model.", digits), "criterion.weight": torch.ones(10)}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    with pytest.raises(BadInputError, match=r"unexpected: .*model\.") as caught:
        load_network("digits", weights=tmp_path / "last.ckpt")
    assert caught.value.hint == "A part of it fits: --weights 'last.ckpt#state_dict/model'."
    loaded = load_network("digits", weights=Path(f"{tmp_path / 'last.ckpt'}#state_dict/model"))
    assert torch.equal(next(loaded.module.parameters()), digits["conv1.weight"])
    assert reload_network(loaded.source).source == loaded.source


def test_what_comes_nearest_is_compared(tmp_path: Path, digits: State) -> None:
    almost = behind("module.", {**digits, "conv1.weight": torch.ones(1, 2)})
    torch.save({"old": {"x": torch.ones(1)}, "net": almost}, tmp_path / "near.pt")
    with pytest.raises(BadInputError) as caught:
        load_network("digits", weights=tmp_path / "near.pt")
    shape = tuple(digits["conv1.weight"].shape)
    assert caught.value.message == (
        "'near.pt' holds the weights of another network under 'net', without 'module.'; "
        f"of another shape: conv1.weight is (1, 2), should be {shape}."
    )


def test_names_from_a_file_are_made_fit_to_print(tmp_path: Path, factory: str) -> None:
    torch.save({"\x1b[2J\n" + "k" * 500: torch.ones(1)}, tmp_path / "odd.pt")
    with pytest.raises(BadInputError, match=r"unexpected: \\x1b\[2J\\nk+…") as caught:
        load_network(factory, weights=tmp_path / "odd.pt")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


def test_complex_weights_do_not_lose_their_imaginary_part(tmp_path: Path, factory: str) -> None:
    state = {
        "conv.weight": torch.ones(4, 3, 3, 3, dtype=torch.complex64),
        "conv.bias": torch.ones(4),
    }
    torch.save(state, tmp_path / "complex.pt")
    with pytest.raises(BadInputError, match=r"of another type: conv\.weight"):
        load_network(factory, weights=tmp_path / "complex.pt")


def test_half_precision_is_widened(tmp_path: Path, factory: str) -> None:
    state = {
        "conv.weight": torch.full((4, 3, 3, 3), 0.1).half(),
        "conv.bias": torch.ones(4).bfloat16(),
    }
    torch.save(state, tmp_path / "half.pt")
    weight = load_network(factory, weights=tmp_path / "half.pt").module.conv.weight
    assert weight.dtype == torch.float32
    assert float(weight.detach()[0, 0, 0, 0]) == float(np.float16(0.1))


def test_a_checkpoint_that_holds_itself_ends(tmp_path: Path, factory: str) -> None:
    content: dict[str, Any] = {"epoch": 1}
    content["self"] = content
    torch.save(content, tmp_path / "loop.pt")
    with pytest.raises(BadInputError, match="holds no state dict"):
        load_network(factory, weights=tmp_path / "loop.pt")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"model": m, "epoch": 3}])
def test_pickled_network_is_told_apart(tmp_path: Path, factory: str, wrap: Any, new: bool) -> None:
    file = tmp_path / "whole.pt"
    torch.save(wrap(nn.Sequential(nn.Linear(2, 2))), file, _use_new_zipfile_serialization=new)
    with pytest.raises(BadInputError, match=r"'whole\.pt' is a whole network") as caught:
        load_network(factory, weights=file)
    assert "torch.save(model.state_dict(), FILE)" in caught.value.hint


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_told_apart(tmp_path: Path, factory: str) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "traced.pt")
    with pytest.raises(BadInputError, match=r"'traced\.pt' is a TorchScript archive") as caught:
        load_network(factory, weights=tmp_path / "traced.pt")
    assert "torch.jit.load('traced.pt').state_dict()" in caught.value.hint


def test_an_exported_program_is_told_apart(tmp_path: Path, factory: str) -> None:
    program = torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "program.pt2")
    with pytest.raises(
        BadInputError, match=r"'program\.pt2' is a program that torch\.export"
    ) as caught:
        load_network(factory, weights=tmp_path / "program.pt2")
    assert "torch.export.load(FILE).state_dict" in caught.value.hint

"""The digit networks: their data, their shipped weights, and the script that made these."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open

from lrn_deploy.bundle import sha256
from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install
from lrn_deploy.images.examples import digits
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.lrn import LrnSpec, activity
from lrn_deploy.models import DIGITS_PREPROCESSING, WEIGHTS_FOLDER
from lrn_deploy.models.digits_data import AMPLITUDE, Digits, load_split
from lrn_deploy.network import load_network
from scripts import train_digits
from scripts.train_digits import Recipe, errors, ship, summarize, train

TWINS = ["digits", "digits_no_lrn"]
SHORT = Recipe(epochs=1, batch=64)


def metadata(path: Path) -> dict[str, object]:
    with safe_open(path, "pt") as file:
        record: dict[str, object] = json.loads(file.metadata()["training"])
    return record


def test_the_split_holds_out_a_third_of_each_digit() -> None:
    training, test = load_split()
    assert training.inputs.shape == (1198, 1, 8, 8)
    assert test.inputs.shape == (599, 1, 8, 8)
    assert training.inputs.dtype == test.inputs.dtype == np.float32
    assert training.images.shape == (1198, 8, 8)
    assert training.images.dtype == np.uint8
    whole = np.bincount(training.labels) + np.bincount(test.labels)
    assert whole.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI's counts
    assert np.abs(np.bincount(test.labels) - whole / 3).max() < 1


def test_no_image_is_on_both_sides_of_the_split() -> None:
    training, test = load_split()
    seen = {image.tobytes() for image in training.images}
    assert not any(image.tobytes() in seen for image in test.images)


def test_no_image_of_scikit_learns_is_lost() -> None:
    """That they are its own, the tests of ``images`` say."""
    images, _ = digits()
    split = np.concatenate([part.images for part in load_split()])
    assert sorted(image.tobytes() for image in split) == sorted(image.tobytes() for image in images)


def test_a_picture_file_becomes_the_very_input_of_training(tmp_path: Path) -> None:
    _, test = load_split()
    Image.fromarray(test.images[7]).save(tmp_path / "digit.png")
    with Image.open(tmp_path / "digit.png") as image:
        assert np.array_equal(preprocess(image, DIGITS_PREPROCESSING), test.inputs[7])


def test_the_inputs_are_pixels_minus_their_mean() -> None:
    training, _ = load_split()
    assert np.array_equal(training.inputs[:, 0], training.images.astype(np.float32) - 78)
    assert abs(float(training.inputs.mean())) < 0.5
    assert float(training.inputs.std()) == pytest.approx(AMPLITUDE, rel=0.01)


def test_the_data_need_no_torch() -> None:
    code = (
        "import sys; from lrn_deploy.models.digits_data import load_split; load_split(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "sklearn" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingError, match=re.escape(install("samples"))):
        load_split()


@pytest.mark.parametrize("name", TWINS)
def test_shipped_weights_make_exactly_the_recorded_errors(name: str) -> None:
    record = metadata(WEIGHTS_FOLDER / f"{name}.safetensors")
    training, test = load_split()
    module = load_network(name).module
    wrong = errors(module, test)
    assert wrong == record["test_errors"]
    assert record["test_error_rate"] == pytest.approx(wrong / 599)
    assert wrong / 599 <= 0.025
    assert errors(module, training) == record["train_errors"]
    assert record["network"] == name
    assert record["seed"] == 0


def test_the_trained_networks_lrn_moves_its_denominator() -> None:
    _, test = load_split()
    x = torch.from_numpy(test.inputs)
    spec = LrnSpec(size=5, alpha=1e-4, beta=0.75, k=1)
    upper = {}
    with torch.inference_mode():
        for name, layer in load_network("digits").module.named_children():
            if name in ("norm1", "norm2"):
                upper[name] = float(np.quantile(activity(x.numpy(), spec), 0.9))
            x = layer(x)
    assert upper["norm1"] > 1
    assert upper["norm2"] > 0.5


@pytest.mark.parametrize("change", ["identity", "undivided alpha", "beta", "size"])
def test_a_fault_in_the_trained_networks_lrn_changes_its_logits(change: str) -> None:
    _, test = load_split()
    inputs = torch.from_numpy(test.inputs)
    good, bad = load_network("digits").module, load_network("digits").module
    for name in ("norm1", "norm2"):
        layer = bad.get_submodule(name)
        assert isinstance(layer, torch.nn.LocalResponseNorm)
        if change == "identity":
            bad.set_submodule(name, torch.nn.Identity())
        elif change == "undivided alpha":
            layer.alpha *= 5
        elif change == "beta":
            layer.beta = 0.5
        else:
            layer.size = 7
    with torch.inference_mode():
        difference = torch.linalg.norm(good(inputs) - bad(inputs))
        assert difference > 0.01 * torch.linalg.norm(good(inputs))


FEW = 256
"""Images in a short training."""


def few(part: Digits) -> Digits:
    return Digits(part.images[:FEW], part.inputs[:FEW], part.labels[:FEW])


@pytest.fixture(scope="module")
def few_images() -> Iterator[None]:
    """The script trains with few of them."""
    training, test = map(few, load_split())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_digits, "load_split", lambda: (training, test))
        yield


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    few_images: None,  # noqa: ARG001 - its effect
) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    ship(folder, seed=3, recipe=SHORT)
    return folder


def test_training_again_with_the_same_seed_gives_the_same_bytes(
    trained: Path, tmp_path: Path
) -> None:
    records = ship(tmp_path, seed=3, recipe=SHORT)
    for name in TWINS:
        data = (trained / f"{name}.safetensors").read_bytes()
        assert data == (tmp_path / f"{name}.safetensors").read_bytes()
        assert sha256(data) == records[name]["sha256"]
        assert metadata(trained / f"{name}.safetensors")["recipe"] == {
            "epochs": 1,
            "batch": 64,
            "learning_rate": 0.002,
            "weight_decay": 0.01,
        }


def test_another_seed_gives_other_weights(trained: Path) -> None:
    training, _ = load_split()
    other = train(False, 4, few(training), SHORT).state_dict()
    mine = load_network("digits_no_lrn", weights=trained / "digits_no_lrn.safetensors").module
    assert all(not torch.equal(value, other[key]) for key, value in mine.state_dict().items())


def test_the_written_weights_are_the_trained_ones(trained: Path) -> None:
    training, _ = load_split()
    expected = train(True, 3, few(training), SHORT).state_dict()
    loaded = load_network("digits", weights=trained / "digits.safetensors").module
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def test_a_few_steps_of_training_teach_something() -> None:
    training, test = load_split()
    assert errors(train(True, 0, training, Recipe(epochs=2)), test) < 120  # of 599; chance: 540


def test_training_leaves_torchs_settings_as_they_were() -> None:
    training, _ = load_split()
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(False, 0, training, Recipe(epochs=0))
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_both_twins_start_from_the_same_weights() -> None:
    training, _ = load_split()
    nothing = Recipe(epochs=0)
    first, second = (train(lrn, 5, training, nothing).state_dict() for lrn in (True, False))
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_summary_is_right_on_a_case_worked_out_by_hand() -> None:
    # Rates in percent: 1, 2, 3 and 2, 2, 5; differences -1, 0, -2 with mean -1 and sd 1.
    # Student's t for 95 % and 2 degrees of freedom is 4.3027, so the half width is 2.4842.
    summary = summarize([1, 2, 3], [2, 2, 5], images=100)
    assert summary["digits"] == {"mean": 2.0, "sd": 1.0}
    assert summary["digits_no_lrn"] == {"mean": 3.0, "sd": pytest.approx(3**0.5)}
    difference = summary["difference"]
    assert (difference["mean"], difference["sd"]) == (-1.0, 1.0)
    assert difference["low95"] == pytest.approx(-1 - 2.4842, abs=1e-3)
    assert difference["high95"] == pytest.approx(-1 + 2.4842, abs=1e-3)
    assert (difference["lrn_better"], difference["equal"], difference["lrn_worse"]) == (2, 1, 0)


@pytest.mark.usefixtures("few_images")
def test_the_script_compares_over_seeds_and_writes_raw_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_digits, "Recipe", lambda: SHORT)
    target = tmp_path / "result.json"
    result = CliRunner().invoke(train_digits.main, ["--seeds", "2", "--output", str(target)])
    assert result.exit_code == 0, result.output
    content = json.loads(target.read_text())
    assert content["seeds"] == [0, 1]
    assert {name: len(counts) for name, counts in content["test_errors"].items()} == {
        "digits": 2,
        "digits_no_lrn": 2,
    }
    assert set(content["versions"]) == {"python", "torch", "numpy", "scikit-learn"}
    assert content["machine"]["threads"] == 1


@pytest.mark.usefixtures("few_images")
def test_the_script_writes_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_digits, "Recipe", lambda: SHORT)
    result = CliRunner().invoke(train_digits.main, ["--output", str(tmp_path), "--seed", "9"])
    assert result.exit_code == 0, result.output
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "digits.safetensors",
        "digits_no_lrn.safetensors",
    ]
    assert metadata(tmp_path / "digits.safetensors")["seed"] == 9

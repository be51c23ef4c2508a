"""Whose preprocessing it is decides whether the labels are right: from export to classify.

The network here reads the digits in BGR with pixels from 0 to 255. In its pictures the digit is
red, and blue is another digit, so whoever takes one channel for the other reads the wrong one.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lrn_deploy import cli
from lrn_deploy.bundle import Bundle, Preprocessing
from lrn_deploy.bundle.staleness import stale_artifacts
from lrn_deploy.export.graph import OnnxExport
from lrn_deploy.models.digits_data import load_split
from lrn_deploy.network import Network

MEAN = np.array([100.0, 0.0, 50.0])
PICTURES = 80
OPTIONS = (
    *("--colors", "bgr", "--scale", "1", "--mean", "100,0,50", "--std", "1"),
    *("--resize", "8,8", "--interpolation", "bilinear"),
)
SOURCE = """
from torch import nn

class Net(nn.Sequential):
    input_shape = (3, 8, 8)

def build():
    return Net(nn.Conv2d(3, 16, 3, padding=1), nn.LocalResponseNorm(5), nn.ReLU(), nn.Flatten(),
               nn.Linear(16 * 64, 10))

def says_it_itself():
    net = build()
    net.preprocessing = {"colors": "bgr", "scale": 1, "mean": [100, 0, 50], "std": 1,
                         "resize": [8, 8], "interpolation": "bilinear"}
    return net
"""


@dataclass(frozen=True)
class Trained:
    """The network's code and weights, and a folder of pictures of known digits."""

    code: Path
    weights: Path
    pictures: Path
    labels: tuple[int, ...]


def coloured(images: np.ndarray, seed: int) -> np.ndarray:
    """RGB pictures (N, 8, 8, 3): the digit in red, another one in blue."""
    others = images[np.random.default_rng(seed).permutation(len(images))]
    return np.stack([images, np.zeros_like(images), others], axis=-1)


@pytest.fixture(scope="module", autouse=True)
def each_graph_once() -> Iterator[None]:
    """The same network is captured once: what is said of its input is not in its graph."""
    exporting: Any = importlib.import_module("lrn_deploy.export.bundle")
    capture, made = exporting.to_onnx, {}

    def once(network: Network, preprocessing: Preprocessing | None, *, opset: int) -> OnnxExport:
        within = preprocessing if preprocessing and preprocessing.in_graph else None
        key = (network.source.factory, network.source.weights.sha256, within, opset)
        if key not in made:
            made[key] = capture(network, preprocessing, opset=opset)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "to_onnx", once)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("bgr")
    code = folder / "net.py"
    code.write_text(SOURCE)
    scope: dict[str, Any] = {}
    exec(SOURCE, scope)
    torch.manual_seed(0)
    network: nn.Module = scope["build"]()
    train, test = load_split()
    pixels = coloured(train.images, 1)[..., ::-1].astype(np.float32) - MEAN  # BGR, by hand
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    y = torch.from_numpy(train.labels)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for a network as small as this, more only wait for each other
    for _ in range(12):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    torch.set_num_threads(threads)
    torch.save(network.state_dict(), folder / "net.pt")
    pictures = folder / "pictures"
    pictures.mkdir()
    for at, image in enumerate(coloured(test.images, 2)[:PICTURES]):
        Image.fromarray(image).save(pictures / f"{at:03}.png")
    labels = tuple(int(label) for label in test.labels[:PICTURES])
    return Trained(code, folder / "net.pt", pictures, labels)


def exported(trained: Trained, path: Path, *options: str, factory: str = "build") -> Path:
    words = ["export", f"{trained.code}:{factory}", "--weights", str(trained.weights)]
    assert cli.run([*words, "-o", str(path), *options]) == 0
    return path


def classified(
    trained: Trained, bundle: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[float, str]:
    """The share of right answers, and what was said on stderr."""
    capsys.readouterr()
    words = ["classify", str(bundle), str(trained.pictures), "--json", "--top", "1", *options]
    assert cli.run(words) == 0
    captured = capsys.readouterr()
    results = json.loads(captured.out)["results"]
    found = [item["predictions"][0]["index"] for item in results]
    return float(np.mean(np.array(found) == trained.labels)), captured.err


def test_labels_are_right_with_the_options_and_wrong_without(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, said = classified(trained, exported(trained, tmp_path / "said", *OPTIONS), capsys)
    assert right >= 0.85
    assert "assumed" not in said
    wrong, said = classified(trained, exported(trained, tmp_path / "unsaid"), capsys)
    assert wrong <= 0.3
    assert said.count("if it was trained otherwise, predictions are wrong") == 1
    swapped = [word.replace("bgr", "rgb") for word in OPTIONS]
    wrong, said = classified(trained, exported(trained, tmp_path / "rgb", *swapped), capsys)
    assert wrong <= 0.3
    assert "assumed" not in said


@pytest.mark.parametrize("way", ["json", "toml", "module", "uint8", "deploy"])
def test_every_way_to_say_it_gives_the_same_labels(
    way: str, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, file = tmp_path / "bundle", tmp_path / f"said.{way}"
    if way == "json":
        content = {"colors": "bgr", "scale": 1, "mean": [100, 0, 50], "std": [1, 1, 1]}
        file.write_text(json.dumps(content | {"resize": [8, 8], "interpolation": "bilinear"}))
        exported(trained, bundle, "--preprocessing", str(file))
    elif way == "toml":  # an option goes before it
        file.write_text('colors = "bgr"\nscale = 2\nmean = [100, 0, 50]\nstd = 1\nresize = [8, 8]')
        exported(
            trained,
            bundle,
            *("--preprocessing", str(file), "--scale", "1", "--interpolation", "bilinear"),
        )
    elif way == "module":
        exported(trained, bundle, factory="says_it_itself")
    elif way == "uint8":
        exported(trained, bundle, *OPTIONS, "--input", "uint8")
    else:
        words = ["deploy", f"{trained.code}:build", "--weights", str(trained.weights)]
        assert cli.run([*words, "-o", str(bundle), "--no-engine", *OPTIONS]) == 0
    right, said = classified(trained, bundle, capsys)
    assert right >= 0.85
    assert "assumed" not in said


def test_a_bundle_is_corrected_without_exporting_again(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(trained, tmp_path / "own")
    said = capsys.readouterr().out
    assert "assumed: colors RGB; resize stretched straight to the crop;" in said
    assert f"lrn-deploy preprocess {path} with --colors, --resize" in said
    assert cli.run(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "(pixel x 1/255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]" in shown
    assert "if it was trained otherwise, predictions are wrong" in shown
    graph = (path / "model.onnx").read_bytes()
    assert cli.run(["preprocess", str(path), *OPTIONS]) == 0
    assert "BGR; resize stretched straight to the crop" in capsys.readouterr().out
    right, said = classified(trained, path, capsys)
    assert right >= 0.85
    assert "assumed" not in said
    assert (path / "model.onnx").read_bytes() == graph
    assert cli.run(["preprocess", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["preprocessing"] == {
        "colors": "bgr",
        "resize": [8, 8],
        "crop": [8, 8],
        "interpolation": "bilinear",
        "scale": 1.0,
        "mean": [100.0, 0.0, 50.0],
        "std": [1.0, 1.0, 1.0],
    }
    assert (told["assumed"], told["changed"]) == ([], False)


def test_confirming_what_was_assumed_changes_no_input(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(trained, tmp_path / "own", "--input", "uint8")
    words = ["preprocess", str(path), "--json", "--interpolation", "bilinear", "--colors", "rgb"]
    numbers = ["--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
    # A shorter side of 8 is no stretching: that is a change, but it lies before the graph.
    for size, changed in (("8,8", False), ("8", True)):
        capsys.readouterr()
        assert cli.run([*words, *numbers, "--resize", size]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["assumed"], told["changed"], told["in_graph"]) == ([], changed, True)


def test_what_was_made_with_the_old_one_is_told(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(trained, tmp_path / "own")
    calibration = ["--target", "cpu", "--precision", "int8", "--calibration", str(trained.pictures)]
    assert cli.run(["optimize", str(path), *calibration]) == 0
    assert cli.run(["validate", str(path), "--max-batch", "1"]) in (0, 1)
    assert stale_artifacts(Bundle.open(path).manifest) == ()
    capsys.readouterr()
    assert cli.run(["preprocess", str(path), *OPTIONS]) == 0
    notes = capsys.readouterr().out
    variant = "'cpu-int8' was calibrated with another preprocessing: run 'lrn-deploy optimize'"
    assert variant in notes
    assert "'reports/parity.json' was made before the preprocessing was changed" in notes
    assert cli.run(["inspect", str(path)]) == 0
    assert variant in capsys.readouterr().out
    assert variant in classified(trained, path, capsys, "--artifact", "cpu-int8")[1]
    assert variant not in classified(trained, path, capsys)[1]
    assert cli.run(["report", str(path)]) == 0
    page = (path / "reports" / "report.html").read_text()
    assert "was calibrated with another preprocessing" in page
    assert "was made before the preprocessing was changed" in page
    assert "(pixel x 1 - [100, 0, 50]) / [1, 1, 1]" in page
    assert "report.html" not in page

    assert cli.run(["validate", str(path), "--max-batch", "1"]) in (0, 1)
    report = json.loads((path / "reports" / "parity.json").read_text())
    assert any("calibrated with another preprocessing" in note for note in report["warnings"])
    assert cli.run(["optimize", str(path), *calibration]) == 0
    assert stale_artifacts(Bundle.open(path).manifest) == ()
    capsys.readouterr()
    assert cli.run(["preprocess", str(path)]) == 0
    assert capsys.readouterr().out.count("\n") == 1  # what it is, and nothing to warn of
    right, _ = classified(trained, path, capsys, "--artifact", "cpu-int8")
    assert right >= 0.85


def test_a_variant_from_before_digests_were_recorded_is_told_as_well(
    trained: Trained, tmp_path: Path
) -> None:
    path = exported(trained, tmp_path / "own")
    words = ["--target", "cpu", "--precision", "int8", "--calibration", str(trained.pictures)]
    assert cli.run(["optimize", str(path), *words]) == 0
    file = path / "manifest.json"
    content = json.loads(file.read_text())
    del content["artifacts"]["cpu-int8"]["options"]["preprocessing"]
    file.write_text(json.dumps(content))
    assert stale_artifacts(Bundle.open(path).manifest) == ()
    assert cli.run(["preprocess", str(path), *OPTIONS]) == 0
    assert stale_artifacts(Bundle.open(path).manifest) == ("cpu-int8",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--std", "0"], "The std of the command line is 0"),
        (["--mean", "1,2", "--std", "1", "--scale", "1"], "2 numbers for a network of 3"),
        (["--crop", "7"], "crop of 7 x 7 does not fit"),
        (["--resize", "7"], "resize 7 is smaller than the crop"),
        (["--colors", "gray"], "cannot be 'gray'"),
        (["--preprocessing", "none.json"], "'none.json' cannot be read"),
        (["--preprocessing", "list.json"], "holds no object"),
        (["--preprocessing", "broken.toml"], "is no TOML"),
        (["--preprocessing", "binary.json"], "it is not UTF-8 text"),
    ],
)
def test_what_is_refused_leaves_everything_as_it_was(
    options: list[str],
    message: str,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[1]")
    Path("broken.toml").write_text("mean = ")
    Path("binary.json").write_bytes(b"\xff\xfe\x00")
    path = exported(trained, tmp_path / "own")
    before = (path / "manifest.json").read_bytes()
    capsys.readouterr()
    assert cli.run(["preprocess", str(path), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Hint: " in error
    assert (path / "manifest.json").read_bytes() == before
    words = ["export", f"{trained.code}:build", "-o", str(tmp_path / "new"), *options]
    assert cli.run(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_what_is_in_the_graph_is_not_changed_outside_it(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(trained, tmp_path / "own", "--input", "uint8", *OPTIONS)
    before = (path / "manifest.json").read_bytes()
    capsys.readouterr()
    assert cli.run(["preprocess", str(path), "--scale", "2"]) == 2
    error = capsys.readouterr().err
    assert "are inside its graph" in error
    assert "'--input uint8 --force'" in error
    assert (path / "manifest.json").read_bytes() == before


def test_the_options_enter_the_key_of_an_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "digits", "-o", str(tmp_path / "digits")]
    assert cli.run(words) == 0
    assert "assumed" not in capsys.readouterr().out
    assert cli.run(words) == 0
    assert "is up to date" in capsys.readouterr().out
    assert cli.run([*words, "--interpolation", "bilinear"]) == 2
    assert "already holds a bundle" in capsys.readouterr().err
    assert cli.run(["preprocess", str(tmp_path / "digits"), "--interpolation", "bilinear"]) == 0
    assert cli.run(words) == 2  # what is there is no longer what this would give


def test_a_choice_that_was_tuned_to_is_dropped_with_the_preprocessing_it_was_judged_by(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(trained, tmp_path / "own")
    file = path / "manifest.json"
    content = json.loads(file.read_text())
    digest = content["artifacts"]["model"]["sha256"]
    choice = {"artifact": "model", "sha256": digest, "backend": "onnxruntime:cpu", "threads": 1}
    file.write_text(json.dumps(content | {"choices": [choice]}))
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    assert cli.run(["preprocess", str(path), *OPTIONS]) == 0
    assert "What 'lrn-deploy tune' chose no longer counts" in capsys.readouterr().out
    assert Bundle.open(path).manifest.choices == ()
    assert cli.run(["preprocess", str(copy)]) == 0  # showing it changes nothing
    assert len(Bundle.open(copy).manifest.choices) == 1

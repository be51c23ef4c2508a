"""``lrn-deploy classify`` as people and programs call it."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.cli import run
from tests.support.image_bundles import PREPROCESSING, SURE, colour_bundle, picture, png_file
from tests.support.warm import Warmed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    colour_bundle(tmp_path / "colours")
    (tmp_path / "photos").mkdir()
    for name, colour in (("r.png", "red"), ("b.png", "blue")):
        (tmp_path / "photos" / name).write_bytes(picture(colour))
    (tmp_path / "text.jpg").write_text("hello")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.usefixtures("here")
def test_a_folder_gives_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify", "colours", "photos", "--top", "1"]) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines() if "photos/" in line]
    assert rows == [["photos/b.png", "blue", "99.99%"], ["photos/r.png", "red", "99.99%"]]
    assert "Classified 2 of 2 images with colours (model, onnxruntime on cpu)." in out
    assert err == ""


@pytest.mark.usefixtures("here")
def test_json_lines_hold_one_object_for_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify", "colours", "photos/r.png", "text.jpg", "--jsonl", "--top", "1"]) == 1
    out, err = capsys.readouterr()
    red, text = lines(out)
    (prediction,) = red.pop("predictions")
    assert prediction.pop("probability") == pytest.approx(SURE, rel=1e-5)
    assert prediction == {"index": 0, "label": "red"}
    assert red == {
        "image": "photos/r.png",
        "width": 20,
        "height": 30,
        "weights": "factory",
        "note": None,
        "error": None,
        "hint": None,
    }
    assert "'text.jpg' is not an image" in text["error"]
    assert "JPEG, PNG" in text["hint"]
    assert (text["width"], text["predictions"]) == (None, [])
    assert "Error: 'text.jpg' is not an image" in err
    assert "Classified 1 of 2 images" in err
    assert "1 failed." in err


@pytest.mark.usefixtures("here")
def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify", "colours", "photos/*.png", "--json", "--batch-size", "1"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["bundle"] == "colours"
    assert (document["model"], document["artifact"]) == ("colours", "model")
    assert (document["backend"], document["device"]) == ("onnxruntime", "cpu")
    assert (document["failed"], document["note"]) == (0, "")
    assert [one["predictions"][0]["label"] for one in document["results"]] == ["blue", "red"]
    assert "Classified 2 of 2" in err


def test_random_weights_are_admitted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colour_bundle(here / "untrained", weights="random")
    assert run(["classify", "untrained", "photos/r.png"]) == 0
    assert "are random (seed 7)" in capsys.readouterr().out
    assert run(["classify", "untrained", "photos/r.png", "--jsonl"]) == 0
    out, err = capsys.readouterr()
    assert lines(out)[0]["weights"] == "random"
    assert "are random (seed 7)" in err
    assert run(["classify", "untrained", "photos/r.png", "--json"]) == 0
    assert "are random" in json.loads(capsys.readouterr().out)["note"]


def test_a_uint8_bundle_and_standard_input(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_bundle(here / "bytes", preprocessing=PREPROCESSING.model_copy(update={"in_graph": True}))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(picture("lime"))))
    assert run(["classify", "bytes", "-", "--jsonl"]) == 0
    (line,) = lines(capsys.readouterr().out)
    assert (line["image"], line["predictions"][0]["label"]) == ("stdin", "green")


@pytest.mark.usefixtures("here")
def test_only_failures_give_no_table_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify", "colours", "text.jpg"]) == 1
    out, err = capsys.readouterr()
    assert out == ("Classified 0 of 1 images with colours (model, onnxruntime on cpu); 1 failed.\n")
    assert "Hint: Images may be" in err


@pytest.mark.usefixtures("here")
def test_the_limits_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify", "colours", "photos/r.png", "--max-pixels", "599"]) == 1
    assert "has 600 pixels, more than 599" in capsys.readouterr().err
    assert run(["classify", "colours", "photos/r.png", "--max-bytes", "20"]) == 1
    assert "larger than 20 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "colours"], "Missing argument 'IMAGE...'"),
        (["classify", "colours", "gone.png"], "'gone.png' does not exist"),
        (["classify", "nothing", "photos"], "is not a bundle"),
        (["classify", "colours", "photos", "--artifact", "int8"], "no artifact named 'int8'"),
        (["classify", "colours", "photos", "--device", "tpu"], "no device 'tpu'"),
        (["classify", "colours", "photos", "--json", "--jsonl"], "exclude each other"),
        (["classify", "colours", "photos", "--top", "0"], "--top"),
        (["classify", "colours", "photos", "--max-pixels", "999999999"], "178,956,970 at most"),
    ],
)
@pytest.mark.usefixtures("here")
def test_wrong_usage_exits_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_a_network_without_images_exits_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colour_bundle(here / "sounds", preprocessing=None)
    assert run(["classify", "sounds", "photos"]) == 2
    assert "which are no images" in capsys.readouterr().err


def test_a_damaged_graph_exits_4(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "colours" / "model.onnx").write_bytes(b"other bytes")
    assert run(["classify", "colours", "photos"]) == 4
    assert "is damaged" in capsys.readouterr().err


def test_a_files_name_can_neither_command_the_terminal_nor_break_the_output(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "photos" / "r.png").rename(here / "photos" / "[red]\x1b[2J.png")
    undecodable = os.fsencode(here / "photos") + b"/\xff.png"
    Path(os.fsdecode(undecodable)).write_bytes(b"no image")
    assert run(["classify", "colours", "photos"]) == 1
    out, err = capsys.readouterr()
    assert "photos/[red]\\x1b[2J.png" in out
    assert "\\udcff.png' is not an image" in err
    assert "\x1b" not in out + err


def test_pillows_warnings_are_not_shown(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 9600, 9600, 8, 0, 0, 0, 0)  # over Pillow's threshold
    (here / "wide.png").write_bytes(png_file(header, b""))
    code = "import sys; from lrn_deploy.cli import main; main()"
    monkeypatch.setattr(subprocess, "Popen", Warmed)
    done = subprocess.run(
        [sys.executable, "-c", code, "classify", "colours", "wide.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: 'wide.png' has 92,160,000 pixels, more than 64,000,000.",
        "Hint: Scale the image down, or raise the limit on pixels if you trust the file.",
    ]


def test_help_has_an_example_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from lrn_deploy.cli import run; run(['classify', '--help']); "
        "print([name for name in ('PIL', 'numpy', 'onnxruntime', 'torch') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "  lrn-deploy classify alexnet photo.jpg\n" in out.stdout
    assert out.stdout.splitlines()[-1] == "[]"

"""``lrn-deploy package``: what it prints, and the exit code of each way to end."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from lrn_deploy.cli import run
from tests.support.image_bundles import colour_bundle


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    colour_bundle(tmp_path / "colours")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("desk")
def test_package_is_made_and_then_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["package", "colours", "--to", "triton", "--triton-backend", "python", "-o", "out"]
    assert run(words) == 0
    printed = capsys.readouterr().out
    assert "Made 'out' for triton: 'colours', " in printed
    assert "'model' runs in Triton's backend 'python', which needs numpy and onnxruntime" in printed
    assert "Next: tritonserver --model-repository=out" in printed
    code = "1/packaged_images"
    assert files(Path("out")) == {
        "package.json",
        "colours/config.pbtxt",
        "colours/labels.txt",
        "colours/1/model.onnx",
        "colours/1/model.py",
        "colours_preprocess/config.pbtxt",
        "colours_preprocess/1/model.py",
        *(
            f"colours_preprocess/{code}/{name}.py"
            for name in ("__init__", "decode", "errors", "preprocess", "preprocessing")
        ),
        "colours_image/config.pbtxt",
        "colours_image/labels.txt",
        "colours_image/1/README",
    }
    assert run(words) == 0
    again = capsys.readouterr().out
    assert "'out' is up to date" in again
    assert "Next: tritonserver --model-repository=out" in again


@pytest.mark.usefixtures("desk")
def test_json_has_the_record_and_text_goes_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "colours", "--to", "triton", "-o", "out", "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["record"]["target"] == "triton"
    assert told["record"]["files"].keys() == files(Path("out")) - {"package.json"}
    assert told["reused"] is False
    assert "Made 'out'" in captured.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "BUNDLE"),
        (["colours"], "--to"),
        (["colours", "--to", "triton"], "-o"),
        (["colours", "--to", "mars", "-o", "out"], "mars"),
        (["colours", "--check", "out", "-o", "out"], "--check"),
        (["nowhere", "--to", "triton", "-o", "out"], "is not a bundle"),
        (["colours", "--to", "triton", "-o", "out", "--artifact", "fast"], "'fast'"),
        (["colours", "--to", "triton", "-o", "colours"], "is not a package"),
        (["--check", "colours"], "is not a package"),
    ],
)
@pytest.mark.usefixtures("desk")
def test_wrong_usage_is_2_and_says_why(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["package", *words]) == 2
    assert says in capsys.readouterr().err
    assert not Path("out").exists()


def test_check_tells_what_changed(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["package", "colours", "--to", "triton", "-o", "out"]) == 0
    capsys.readouterr()
    assert run(["package", "--check", "out"]) == 0
    assert "'out' is what was packaged" in capsys.readouterr().out
    assert run(["package", "colours", "--check", "out"]) == 0
    assert "'colours' answers as it did" in capsys.readouterr().out
    colour_bundle(desk / "colours", labels=("rot", "gruen", "blau"))
    assert run(["package", "--check", "out", "colours"]) == 1
    assert "The labels of 'colours' changed since" in capsys.readouterr().out
    (desk / "out" / "colours" / "1" / "model.onnx").write_bytes(b"")
    (desk / "out" / "colours" / "2").mkdir()
    (desk / "out" / "colours" / "2" / "model.onnx").touch()
    assert run(["package", "colours", "--check", "out", "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == {
        "colours/1/model.onnx": "changed",
        "colours/2/model.onnx": "added",
    }
    assert told["changed_parts"] == ["labels"]


def test_full_disk_is_5_and_leaves_nothing(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "model.py":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    words = ["package", "colours", "--to", "triton", "--triton-backend", "python", "-o", "out"]
    assert run(words) == 5
    assert "Cannot write 'out': No space left on device" in capsys.readouterr().err
    assert [item.name for item in desk.iterdir()] == ["colours"]


@pytest.mark.usefixtures("desk")
def test_damaged_bundle_is_4_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("colours", "model.onnx").open("ab") as stream:
        stream.write(b"!")
    assert run(["package", "colours", "--to", "triton", "-o", "out"]) == 4
    assert "'model.onnx' of bundle 'colours' is damaged" in capsys.readouterr().err
    assert not Path("out").exists()

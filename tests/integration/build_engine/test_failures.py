"""What ``lrn-deploy build-engine`` refuses, and that a bundle stays whole whatever ends a build."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import Bundle, store
from lrn_deploy.errors import CannotWriteError, DamagedError, MissingError
from lrn_deploy.tensorrt.build import BuiltEngine
from lrn_deploy.workflows.build_engine import build_engine as workflow
from tests.support.engine_builds import build, state
from tests.support.engine_graphs import network

pytestmark = pytest.mark.tensorrt


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_engine_is_found_and_built_again(bundle: Path, damage: str) -> None:
    assert build(bundle, "--target", "sm89") == 0
    whole = state(bundle)
    file = bundle / Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89").file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    {
        "flip": lambda: file.write_bytes(data),
        "truncate": lambda: file.write_bytes(data[:-1]),
        "remove": file.unlink,
    }[damage]()
    with pytest.raises(DamagedError) as caught:
        Bundle.open(bundle).load("rtx-fp32-sm89")
    assert caught.value.exit_code == 4
    assert build(bundle, "--target", "sm89") == 0
    again = state(bundle)
    assert again[str(file.relative_to(bundle))] == whole[str(file.relative_to(bundle))]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--target", "sm90"], 2, "no target 'sm90'"),
        (["--target", "current"], 3, "means this machine's GPU: There is no NVIDIA GPU here"),
        (["--target", "sm75"], 2, "no matrix product in fp32"),
        (["--batch", "4,2,1"], 2, "not in order"),
        (["--batch", "0,1,2"], 2, "not in order"),
        (["--batch", "1,2"], 2, "'1,2' is no profile"),
        (["--batch", "1,x,2"], 2, "'1,x,2' is no profile"),
        (["--workspace", "much"], 2, "'much' is no size"),
        (["--workspace", "0"], 2, "'0' is no size"),
        (["--timing-cache", "t.cache"], 2, "TensorRT for RTX has no timing cache"),
    ],
)
def test_bad_input_gets_its_sentence_and_changes_nothing(
    bundle: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    before = state(bundle)
    assert build(bundle, *words) == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert state(bundle) == before


def test_no_tensorrt_installed(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise MissingError("tensorrt-rtx is not installed.", "Install it.")

    monkeypatch.setattr(workflow, "find_flavor", none)
    assert build(bundle) == 3
    assert "Hint: Install it." in capsys.readouterr().err


def test_no_bundle(tmp_path: Path) -> None:
    assert build(tmp_path / "nothing") == 2


def test_a_damaged_graph_is_not_parsed(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(network() + b"\0")
    assert build(bundle) == 4


def test_ctrl_c_while_building_leaves_the_bundle_as_it_was(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = workflow.build_in_process

    def interrupted(flavor: Any, graph: bytes, request: Any, _progress: Any) -> BuiltEngine:
        return real(flavor, graph, request, lambda *_: os.kill(os.getpid(), signal.SIGINT))

    monkeypatch.setattr(workflow, "build_in_process", interrupted)
    before = state(bundle)
    assert build(bundle) == 130
    assert "Interrupted" in capsys.readouterr().err
    assert state(bundle) == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("built_before", [False, True])
@pytest.mark.parametrize("file", ["network.json", "manifest.json"])
def test_a_full_disk_leaves_the_bundle_as_it_was(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, file: str, built_before: bool
) -> None:
    if built_before:
        assert build(bundle, "--target", "sm89") == 0
    before = state(bundle)
    real = store.write_atomic

    def full(path: Path, data: bytes) -> None:
        if path.name.endswith(file):
            raise CannotWriteError(f"Cannot write '{path}': No space left on device.")
        real(path, data)

    monkeypatch.setattr(store, "write_atomic", full)
    assert build(bundle, "--target", "sm89", "--batch", "1,1,2") == 5
    assert state(bundle) == before
    assert (bundle / "engines").exists() == built_before


def test_calibration_images_are_for_int8(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for precision in ("fp32", "fp16"):
        assert build(digits, "--precision", precision, "--calibration", str(empty)) == 2
        assert f"{precision} is not calibrated" in capsys.readouterr().err
    before = state(digits)
    assert build(digits, "--precision", "int8", "--calibration", str(empty)) == 2
    assert "Hint: " in capsys.readouterr().err
    assert state(digits) == before

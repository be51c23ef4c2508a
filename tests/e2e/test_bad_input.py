"""What people do wrong, and the sentence, hint and exit code they get; nothing is left behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.cli import run
from lrn_deploy.errors import BAD_INPUT, CANNOT_WRITE, DAMAGED, DONE, INTERRUPTED
from tests.support.exported import exported

NETWORKS = Path(__file__).parents[1] / "support/networks.py"


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bundle() -> Path:
    return exported("digits", Path("digits")).path


def names() -> list[str]:
    return [path.name for path in Path().iterdir()]


def refused(capsys: pytest.CaptureFixture[str], words: list[str], code: int, *says: str) -> None:
    """The command ends with ``code``, one Error line that says so, one Hint, and no traceback."""
    capsys.readouterr()
    assert run(words) == code
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["Error", "Hint"], err
    for text in says:
        assert text in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize("model", ["alexnett", "notes.txt", "weights.pt", "model.onnx"])
def test_what_is_no_network(capsys: pytest.CaptureFixture[str], model: str) -> None:
    Path("notes.txt").write_text("not a model")
    refused(capsys, ["export", model, "-o", "b"], BAD_INPUT, f"'{model}'")
    assert not Path("b").exists()


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("raises", "no such backbone"),
        ("no_translation", "prims.bessel_j0, which has no ONNX"),
        ("fixed_batch", "one batch size only"),
        ("no_lrn", "input shape"),
    ],
)
def test_networks_that_cannot_be_exported(
    capsys: pytest.CaptureFixture[str], factory: str, sentence: str
) -> None:
    refused(capsys, ["export", f"{NETWORKS}:{factory}", "-o", "b"], BAD_INPUT, sentence)
    assert names() == []


def test_network_without_lrn_is_fine_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", f"{NETWORKS}:no_lrn", "--shape", "1,4,4", "-o", "b"]) == DONE
    assert "LRN: the network has none" in capsys.readouterr().out


def test_checkpoint_of_another_network(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, "vgg.pt")
    words = ["export", "digits", "--weights", "vgg.pt", "-o", "b"]
    refused(capsys, words, BAD_INPUT, "conv1.weight", "features.0.weight")
    assert not Path("b").exists()


@pytest.mark.parametrize("command", ["validate", "inspect", "classify"])
def test_bundle_of_a_newer_schema(
    capsys: pytest.CaptureFixture[str], bundle: Path, command: str
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    words = [command, str(bundle)] + (["x.png"] if command == "classify" else [])
    refused(capsys, words, BAD_INPUT, "schema version 99", "Upgrade")


@pytest.mark.parametrize("command", ["validate", "classify"])
def test_damaged_model(capsys: pytest.CaptureFixture[str], bundle: Path, command: str) -> None:
    file = bundle / "model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)
    Path("x.png").write_bytes(b"")
    words = [command, str(bundle)] + (["x.png"] if command == "classify" else [])
    refused(capsys, words, DAMAGED, "model.onnx", "SHA-256")


def test_inspect_names_the_damaged_file(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    (bundle / "labels.txt").write_text("zero\n")
    capsys.readouterr()
    assert run(["inspect", str(bundle)]) == DAMAGED
    out, err = capsys.readouterr()
    assert "damaged" in out
    assert "labels.txt" in err


def test_what_is_no_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["validate", "nowhere"], BAD_INPUT, "'nowhere' is not a bundle")


def test_existing_bundle_is_left_alone_without_force(
    capsys: pytest.CaptureFixture[str], bundle: Path
) -> None:
    before = (bundle / "manifest.json").read_bytes()
    refused(capsys, ["export", "digits_no_lrn", "-o", str(bundle)], BAD_INPUT, "--force")
    assert (bundle / "manifest.json").read_bytes() == before
    assert run(["export", "digits_no_lrn", "-o", str(bundle), "--force"]) == DONE
    assert names() == ["digits"]


def test_other_folders_are_never_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos").mkdir()
    Path("photos/one.jpg").write_text("precious")
    refused(capsys, ["export", "digits", "-o", "photos", "--force"], BAD_INPUT, "not a bundle")
    assert Path("photos/one.jpg").read_text() == "precious"


def test_unwritable_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("in the way")
    refused(capsys, ["export", "digits", "-o", "file/b"], CANNOT_WRITE, "file/b")


@pytest.fixture
def small_files() -> Iterator[None]:
    """The kernel refuses to write more than 64 KiB, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("bundle", "small_files")  # what exports is loaded when the limit comes
def test_no_room_for_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["export", "digits", "-o", "b"], CANNOT_WRITE, "Cannot write")
    assert names() == ["digits"]


def wait_until_torch_is_loading(pid: int) -> None:
    """Wait until the command is well under way, and still seconds from its end."""
    maps = Path(f"/proc/{pid}/maps")
    for _ in range(600):
        if "libtorch_python" in maps.read_text():
            time.sleep(0.3)
            return
        time.sleep(0.05)
    raise AssertionError("the command never came to use torch")


@pytest.mark.usefixtures("unmeasured")
def test_ctrl_c_ends_an_export_and_nothing_is_left() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lrn_deploy", "export", "alexnet", "-o", "b"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_torch_is_loading(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED, err
    assert "Interrupted" in err
    assert names() == []


def test_ctrl_c_leaves_a_bundle_as_it_was(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TorchBackend, "open", interrupted)
    before = {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    assert run(["validate", str(bundle)]) == INTERRUPTED
    assert "Interrupted" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()} == before


def test_bad_options_are_refused_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, says in (
        (["export", "digits", "-o", "b", "--shape", "3,x"], "3,227,227"),
        (["export", "digits", "-o", "b", "--input", "png"], "uint8"),
        (["export", "digits"], "--output"),
        (["validate"], "BUNDLE"),
        (["exprot"], "exprot"),
    ):
        assert run(words) == BAD_INPUT
        assert says in capsys.readouterr().err

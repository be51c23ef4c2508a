from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from lrn_deploy import doctor
from lrn_deploy.backends import tensorrt as tensorrt_backend
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Probe
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.cli import run
from lrn_deploy.doctor import Gpu, diagnose, find_gpus
from lrn_deploy.extras import install
from tests.support.fake_gpu import DEVICE


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH; a test puts its nvidia-smi there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def script(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_doctor_tells_packages_backends_and_how_to_enable_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert f"onnxruntime      {metadata.version('onnxruntime')}" in text
    assert "onnxruntime on cpu    can run" in text
    assert "torch on cpu          can run" in text
    assert "extra 'export'" in text


def test_doctor_json_is_the_diagnosis(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    backends = {(item["name"], item["device"]): item for item in found["backends"]}
    assert set(backends) == {
        ("onnxruntime", "cpu"),
        ("onnxruntime", "cuda"),
        ("openvino", "cpu"),
        ("tensorrt", "cuda"),
        ("torch", "cpu"),
        ("torch", "cuda"),
    }
    assert backends["onnxruntime", "cpu"]["available"] is True
    assert found["problems"] == []


def test_every_backend_that_cannot_run_says_how_to_enable_it() -> None:
    for backend in diagnose().backends:
        assert backend.available or backend.hint


def test_a_gpu_that_the_installed_rtx_refuses_is_told_with_the_version_that_may_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hopper = replace(DEVICE, name="NVIDIA H200", sm="sm90")
    monkeypatch.setattr(tensorrt_backend, "find_device", lambda _index: hopper)
    monkeypatch.setattr(tensorrt_backend, "_installed_versions", lambda: {"rtx": "1.7.1.116"})
    (state,) = (item for item in diagnose().backends if item.name == "tensorrt")
    assert not state.available
    assert "tensorrt-rtx 1.7.1.116 does not run on this machine's NVIDIA H200 (sm90)" in (
        state.detail
    )
    assert "tensorrt-rtx==1.6.1.120" in state.hint


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"]])
def test_both_onnxruntimes_together_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda _name: "1.0")
    monkeypatch.setattr(doctor, "installed_in", lambda _name: "/site")
    assert run(words) == 3
    error = capsys.readouterr().err
    assert "overwrite each other's files" in error
    assert "pip uninstall onnxruntime onnxruntime-gpu" in error


def test_two_folders_keep_them_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, name in (("a", "onnxruntime"), ("b", "onnxruntime-gpu")):
        info = tmp_path / folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        monkeypatch.syspath_prepend(tmp_path / folder)
    assert doctor.installed_in("onnxruntime") == str(tmp_path / "a")
    assert run(["doctor"]) == 0
    assert "overwrite each other's files" not in capsys.readouterr().err


def test_machine_where_nothing_runs_is_3_with_the_first_thing_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for backend in (OnnxRuntimeBackend, OpenVinoBackend, TensorRtBackend, TorchBackend):
        monkeypatch.setattr(
            backend, "probe", lambda _self: Probe(False, None, "not here", "Install it.")
        )
    assert run(["doctor"]) == 3
    output = capsys.readouterr()
    assert output.out.count("cannot run") == output.out.count("Install it.") == 6
    assert install("cpu") in output.err


def test_gpus_are_those_that_nvidia_smi_lists(
    smi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(
        smi,
        "echo 'NVIDIA H100 80GB HBM3, 550.54.15, 9.0, 81559'\n"
        "echo 'Orin (nvgpu), 540.4.0, 8.7, [N/A]'",
    )
    assert find_gpus() == (
        Gpu(
            name="NVIDIA H100 80GB HBM3",
            driver="550.54.15",
            compute_capability="9.0",
            memory_mib=81559,
        ),
        Gpu(name="Orin (nvgpu)", driver="540.4.0", compute_capability="8.7", memory_mib=None),
    )
    run(["doctor"])
    assert "compute capability 9.0, 81559 MiB, driver 550.54.15" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["exit 9", "echo 'No devices were found'", "printf '\\377\\376'", "kill -9 $$"]
)
def test_nvidia_smi_that_fails_means_no_gpu(smi: Path, text: str) -> None:
    script(smi, text)
    assert find_gpus() == ()


def test_no_nvidia_smi_means_no_gpu(smi: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not smi.exists()
    assert find_gpus() == ()
    run(["doctor"])
    assert "none: nvidia-smi is not installed" in capsys.readouterr().out


def test_nvidia_smi_that_cannot_start_means_no_gpu(smi: Path) -> None:
    smi.write_bytes(b"\x7fELF, but not really")
    smi.chmod(0o755)
    assert find_gpus() == ()

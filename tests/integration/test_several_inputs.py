"""A network of an image and tokens through the whole tool, as its user would take it there."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from safetensors.numpy import load_file

from lrn_deploy.bundle import Bundle
from lrn_deploy.cli import run
from lrn_deploy.progress import silent
from lrn_deploy.workflows.optimize.optimize import optimize
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.profile.first_run import run_task
from lrn_deploy.workflows.profile.options import ProfileOptions
from lrn_deploy.workflows.profile.subjects import load_subjects
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support.servers import serving
from tests.support.several_inputs import FILE, ROWS, captioned, captioned_bundle

SHAPES = ("--shape", "tokens=5:int64", "--shape", "image=3,8,8")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return captioned_bundle(tmp_path_factory.mktemp("captioned") / "captioned").path


def test_export_and_inspect_tell_what_the_network_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "b"
    assert run(["export", f"{FILE}:Captioned", "-o", str(folder), *SHAPES]) == 0
    told = capsys.readouterr().out
    assert f"input tokens: int64 [batch, 5], 0 to {ROWS - 1}, the rows of its table" in told
    assert run(["inspect", str(folder), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert [spec["name"] for spec in manifest["inputs"]] == ["image", "tokens"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--shape", "image=3,8,8", "--shape", "words=5:int64"), "has no input 'words'"),
        (("--shape", "image=3,8,8"), "nothing is said of 'tokens'"),
        (("--shape", "image=3,8,8", "--shape", "tokens=5:float64"), "type float64 cannot be"),
        (("--shape", "image=3,8,8", "--shape", "tokens=5:"), "'tokens=5:' is no shape"),
        (("--shape", "image=3,8,8", "--shape", "=5"), "'=5' is no shape"),
        (("--shape", "image=3,0,8"), "'image=3,0,8' is no shape"),
        ((*SHAPES, "--mean", "1", "--std", "1"), "inputs are no image"),
        ((*SHAPES, "--input", "uint8"), "cannot take uint8 images"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_is_left(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    code = run(["export", f"{FILE}:Captioned", "-o", str(tmp_path / "b"), *arguments])
    assert code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b").exists()


def test_every_variant_is_validated_on_indices_of_the_table(path: Path) -> None:
    bundle = Bundle.open(path)
    for target, precision in (("cpu", "fp32"), ("cuda", "fp16")):
        bundle = optimize(bundle, OptimizeOptions(target=target, precision=precision)).bundle
    report = validate(
        bundle, ValidateOptions(batches=(1, 3), devices=("cpu",), layerwise=True)
    ).report
    assert report.verdict == "pass"
    ran = {check.artifact for check in report.checks if check.verdict == "pass"}
    assert ran == {"", "model", "cpu-fp32", "cuda-fp16"}
    assert any(check.inputs.startswith("active") for check in report.checks)

    tokens = load_file(path / "samples" / "random.safetensors")["input.tokens"]
    assert (tokens.dtype, tokens.min() >= 0, tokens.max() < ROWS) == (np.int64, True, True)


def test_the_profile_runs_it_on_every_backend(path: Path) -> None:
    options = ProfileOptions(batches=(1, 4), devices=("cpu",), first_run=False)
    found = load_subjects(Bundle.open(path), ("model",), options, "this", silent)
    assert {item.where for item in found} >= {"onnxruntime:cpu"}
    for item in found:
        if not item.reason:
            assert [item.rows(4)[name].dtype.name for name in ("image", "tokens")] == [
                "float32",
                "int64",
            ]
            item.candidate(4)()


def test_the_first_run_keeps_to_the_table(path: Path) -> None:
    """Indices of any size would be refused: the child has the manifest's range, too."""
    task = {"bundle": str(path), "artifact": "model", "backend": "onnxruntime"}
    assert run_task(task | {"device": "cpu", "threads": 1, "largest": 4}).error == ""


@pytest.mark.parametrize("command", ["classify", "optimize"])
def test_what_needs_an_image_says_so(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "red.png")
    more = {
        "classify": [str(tmp_path)],
        "optimize": ["--target", "cpu", "--precision", "int8"],
    }
    assert run([command, str(path), *more[command]]) == 2
    assert "takes 2 inputs (image, tokens) instead of one image" in capsys.readouterr().err


def test_tritons_clients_are_answered_over_http_and_grpc_at_once(path: Path) -> None:
    """Sixteen clients at the same time, half of each kind; each gets the answer to its own.

    Triton's client of HTTP keeps to the thread that made it (gevent), so each has one of its own.
    """
    rng = np.random.default_rng(0)
    asked = [
        (rng.normal(size=(1, 3, 8, 8)).astype(np.float32), rng.integers(0, ROWS, (1, 5)))
        for _ in range(16)
    ]
    with (
        serving(path, "--threads", "1", "--access-log", "none") as server,
        ThreadPoolExecutor(16) as pool,
    ):

        def ask(at: int) -> np.ndarray:
            kind, address = (
                (tritonclient.http, server.http),
                (tritonclient.grpc, server.grpc),
            )[at % 2]
            image = kind.InferInput("image", [1, 3, 8, 8], "FP32")
            image.set_data_from_numpy(asked[at][0])
            tokens = kind.InferInput("tokens", [1, 5], "INT64")
            tokens.set_data_from_numpy(asked[at][1])
            with kind.InferenceServerClient(address) as client:
                answer: np.ndarray = client.infer("captioned", [tokens, image]).as_numpy("output")
            return answer

        found = np.concatenate(list(pool.map(ask, range(16))))
    images, tokens = (torch.from_numpy(np.concatenate(part)) for part in zip(*asked, strict=True))
    with torch.no_grad():
        truth = captioned()(images, tokens).numpy()
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)

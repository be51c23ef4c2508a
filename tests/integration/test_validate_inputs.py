"""What ``lrn-deploy validate`` runs an artifact on, and where its reference comes from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrn_deploy import cli
from lrn_deploy.bundle import Bundle
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.extras import install
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support import faults, validated
from tests.support.validated import (
    BATCHES,
    NETWORKS,
    leave_openvino_out,
    report_of,
    spoil,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def one_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_openvino_out(monkeypatch)


@pytest.fixture
def fresh() -> Path:
    return validated.fresh()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the validated bundle to spoil."""
    return Path(shutil.copytree(validated.checked(), tmp_path / "bundle"))


def test_a_second_validation_takes_the_same_samples(bundle: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (bundle / "samples").iterdir()}
    validate(Bundle.open(bundle), ValidateOptions(batches=BATCHES))
    assert {file: file.stat().st_mtime_ns for file in (bundle / "samples").iterdir()} == before


def test_damaged_samples_are_made_again(bundle: Path) -> None:
    (bundle / "samples" / "random.safetensors").write_bytes(b"damaged")
    report = validate(Bundle.open(bundle), ValidateOptions(batches=BATCHES)).report
    assert report.verdict == "pass"
    assert any("were made again" in text for text in report.warnings)
    Bundle.open(bundle).read(Bundle.open(bundle).manifest.samples["random"])


def test_a_stale_reference_is_caught(bundle: Path) -> None:
    # The stored outputs are those of other weights, with a key and hashes that say all is well.
    from safetensors.numpy import load, save

    opened = Bundle.open(bundle)
    record = opened.manifest.samples["random"]
    tensors = load(opened.read(record))
    tensors["output.output"] = tensors["output.output"] * np.float32(1.001)
    changed = record.model_copy(update=opened.add_file(record.file, save(tensors)).model_dump())
    opened.update(samples={**opened.manifest.samples, "random": changed})
    report = validate(Bundle.open(bundle), ValidateOptions(batches=BATCHES)).report
    assert report.verdict == "fail"
    assert "PyTorch against the stored samples on random" in report.caught_by


def test_images_of_the_user(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (3, 60, 50, 3), np.uint8)
    for at, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{at}.png")
    report = validate(
        Bundle.open(bundle), ValidateOptions(images=folder, batches=(2,), devices=("cpu",))
    ).report
    rows = [check.metrics for check in report.checks if check.inputs == "images"]
    assert rows
    assert all(row is not None and row.inputs == 3 for row in rows)


@pytest.mark.usefixtures("unmeasured")
def test_a_machine_without_torch_takes_what_is_stored(bundle: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(bundle, tmp_path / "spoilt"))
    spoil(spoilt, faults.leaky)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from lrn_deploy import cli\n"
        "for bundle in sys.argv[1:]:\n"
        "    print('ended with', cli.run(['validate', bundle, '--max-batch', '4']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), str(spoilt)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    whole, spoilt_one, end = done.stdout.split("ended with")
    assert spoilt_one.startswith(" 0"), done.stderr
    assert end.startswith(" 1"), done.stderr
    assert "PASS" in whole
    assert "Skipped: the reference: PyTorch is not installed" in whole
    assert report_of(bundle).verdict == "pass"
    assert report_of(spoilt).verdict == "fail"


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("no_torch")
def test_without_torch_and_samples_something_is_missing(
    fresh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree(fresh, tmp_path / "bundle")
    assert cli.run(["validate", str(path)]) == 3
    error = capsys.readouterr().err
    assert "stores no samples" in error
    assert install("export") in error
    assert not (path / "reports").exists()


@pytest.mark.usefixtures("no_torch")
def test_without_torch_new_images_and_layers_are_refused(bundle: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "one.png")
    assert cli.run(["validate", str(bundle), "--images", str(tmp_path)]) == 3
    assert cli.run(["validate", str(bundle), "--layerwise"]) == 3


def test_a_network_whose_code_is_gone_is_held_to_what_is_stored(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    gone = opened.manifest.model.model_copy(update={"factory": "/nowhere/net.py:build"})
    opened.update(model=gone)
    report = validate(Bundle.open(bundle), ValidateOptions(batches=(1,))).report
    assert report.verdict == "pass"
    assert any("/nowhere/net.py" in text for text in report.warnings)


def test_uint8_images_go_through_the_preprocessing_in_the_graph(tmp_path: Path) -> None:
    request = ExportOptions(f"{NETWORKS}:small_alexnet", uint8_input=True)
    made = export_bundle(request, tmp_path / "bundle")
    report = validate(made, ValidateOptions(batches=(1, 3), layerwise=True)).report
    assert report.verdict == "pass"
    assert report.drift[0].first is None
    assert any("cannot be scaled" in text for text in report.warnings)


def test_a_network_without_lrn(tmp_path: Path) -> None:
    networks = Path(__file__).parents[1] / "support/networks.py"
    made = export_bundle(ExportOptions(f"{networks}:no_lrn_with_shape"), tmp_path / "bundle")
    report = validate(made, ValidateOptions(batches=(1, 3))).report
    assert report.verdict == "pass"
    assert not any(check.kind == "probe" for check in report.checks)
    assert not report.warnings


def test_without_photographs_the_rest_is_checked_and_it_says_so(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    path = shutil.copytree(fresh, tmp_path / "bundle")
    report = validate(Bundle.open(path), ValidateOptions(batches=(2,))).report
    assert report.verdict == "pass"
    assert not any(check.inputs == "photographs" for check in report.checks)
    assert any(install("samples") in text for text in report.warnings)


def test_pictures_are_no_input_of_a_network_that_takes_none(tmp_path: Path) -> None:
    networks = Path(__file__).parents[1] / "support/networks.py"
    made = export_bundle(ExportOptions(f"{networks}:functional"), tmp_path / "bundle")
    Image.new("RGB", (40, 40)).save(tmp_path / "one.png")
    report = validate(made, ValidateOptions(images=tmp_path, batches=(2,))).report
    assert report.verdict == "pass"
    assert any("which are no images" in text for text in report.warnings)
    # Two functions of the network itself, and one module that runs twice.
    probed = {check.subject for check in report.checks if check.kind == "probe"}
    assert len(probed) == 4
    assert {"norm #1", "norm #2"} <= probed
    assert set(report.activity["random"]) == probed

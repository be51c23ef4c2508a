"""``lrn-deploy validate`` on a small bundle: what it stores, tells, and refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from lrn_deploy import cli
from lrn_deploy.backends.registry import artifact_backends
from lrn_deploy.bundle import Artifact, Bundle
from lrn_deploy.cli import run
from lrn_deploy.errors import BadInputError
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.extras import install
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.workflows.validate.options import ValidateOptions, batches_up_to
from lrn_deploy.workflows.validate.validate import validate
from tests.support import faults
from tests.support.exported import exported

NETWORKS = Path(__file__).parents[1] / "support/small_alexnet.py"
QUICK = ("--max-batch", "4")
CPU_BACKENDS = [
    f"{backend.name}:cpu" for backend in artifact_backends(["cpu"]) if backend.probe().available
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network is slower with more, most of all when tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported bundle that was never validated."""
    path = tmp_path_factory.mktemp("fresh") / "bundle"
    return export_bundle(ExportOptions(f"{NETWORKS}:small_alexnet"), path).path


@pytest.fixture(scope="module")
def checked(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, validated once."""
    path = tmp_path_factory.mktemp("checked") / "bundle"
    shutil.copytree(fresh, path)
    validate(Bundle.open(path), ValidateOptions(batches=(1, 3, 4)))
    return path


@pytest.fixture
def bundle(checked: Path, tmp_path: Path) -> Path:
    """A copy of the validated bundle to spoil."""
    return Path(shutil.copytree(checked, tmp_path / "bundle"))


def report_of(path: Path) -> ParityReport:
    return ParityReport.model_validate_json((path / "reports" / "parity.json").read_text())


def spoil(path: Path, fault: Any) -> None:
    """Put a fault into the graph and a hash that says all is well into the manifest."""
    opened = Bundle.open(path)
    artifact = opened.manifest.artifact("model")
    model = onnx.load_model_from_string(opened.read(artifact))
    fault(model)
    record = opened.add_file(artifact.file, model.SerializeToString())
    opened.add_artifact("model", artifact.model_copy(update=record.model_dump()))


def test_checks_every_set_at_every_batch_size(checked: Path) -> None:
    report = report_of(checked)
    assert report.verdict == "pass"
    assert report.caught_by == ()
    outputs = {
        (check.inputs, check.batch)
        for check in report.checks
        if check.kind == "outputs" and check.metrics
    }
    sets = {"photographs", "random", "extremes", "active-x1000", "active-x3162"}
    assert outputs == {(name, batch) for name in sets for batch in (1, 3, 4)}
    assert {check.inputs for check in report.checks if check.kind == "reference"} == sets
    probed = {check.subject for check in report.checks if check.kind == "probe"}
    assert probed == {"net.2", "net.6"}
    assert report.artifacts == {"model": Bundle.open(checked).manifest.artifact("model").sha256}
    assert report.reference.startswith("PyTorch")
    assert report.versions["torch"] == torch.__version__


def test_stores_the_samples_with_the_reference(checked: Path) -> None:
    manifest = Bundle.open(checked).manifest
    assert manifest.samples_key
    for name, record in manifest.samples.items():
        assert record.file == f"samples/{name}.safetensors"
        Bundle.open(checked).read(record)
        assert set(record.activity) == {"net.2", "net.6"}
    assert manifest.samples["random"].activity["net.2"] < 1e-4
    assert manifest.samples["active-x1000"].activity["net.2"] >= 1


def test_says_that_ordinary_inputs_would_not_notice(checked: Path) -> None:
    (warning,) = [text for text in report_of(checked).warnings if "would not have noticed" in text]
    assert "net.2" in warning
    assert "net.6" in warning


def test_prints_one_table_and_one_verdict(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", str(bundle), *QUICK]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith("artifact")
    assert all(title in lines[0] for title in ("check", "relative L2", "over signal", "verdict"))
    assert sum(line.startswith("PASS") for line in lines) == 1
    assert any(line.startswith("model") and "LRN alone" in line for line in lines)
    assert "Limited: model, LRN alone" in out
    assert "LRN activity of net.2, net.6" in out


def test_json_on_stdout_is_the_report(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", str(bundle), *QUICK, "--json"]) == 0
    captured = capsys.readouterr()
    printed = ParityReport.model_validate(json.loads(captured.out))
    assert printed == report_of(bundle)
    assert "PASS" in captured.err


def test_a_second_validation_takes_the_same_samples(bundle: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (bundle / "samples").iterdir()}
    validate(Bundle.open(bundle), ValidateOptions(batches=(1, 3, 4)))
    assert {file: file.stat().st_mtime_ns for file in (bundle / "samples").iterdir()} == before


def test_damaged_samples_are_made_again(bundle: Path) -> None:
    (bundle / "samples" / "random.safetensors").write_bytes(b"damaged")
    report = validate(Bundle.open(bundle), ValidateOptions(batches=(1, 3, 4))).report
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
    report = validate(Bundle.open(bundle), ValidateOptions(batches=(1, 3, 4))).report
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


def test_a_tighter_budget_fails(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", str(bundle), *QUICK, "--max-error", "1e-9"]) == 1
    assert "FAIL, caught by: " in capsys.readouterr().out
    assert cli.run(["validate", str(bundle), *QUICK, "--max-error", "-1"]) == 2


LAYER_FAULTS = {
    "net.4": partial(faults.drop_node, op_type="Relu", index=1),
    "net.2": faults.shift_window,
    "net.7": partial(faults.average_pool, index=1),
}


@pytest.mark.parametrize("layer", LAYER_FAULTS)
def test_layerwise_names_the_first_layer_that_is_wrong(
    bundle: Path, layer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(bundle, LAYER_FAULTS[layer])
    assert cli.run(["validate", str(bundle), *QUICK, "--layerwise"]) == 1
    out = capsys.readouterr().out
    drifts = report_of(bundle).drift
    assert [drift.backend for drift in drifts] == CPU_BACKENDS
    first = {"net.4": "net.5"}.get(layer, layer)
    for drift in drifts:
        assert drift.first is not None
        assert drift.first.subject == first
        assert drift.first.metrics is not None
        line = f"Layers of model on {drift.backend}: the first over budget is model, layer, {first}"
        assert line in out


def test_layerwise_on_a_clean_network(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", str(bundle), *QUICK, "--layerwise"]) == 0
    assert "all 14 are within budget" in capsys.readouterr().out


def test_layers_that_a_graph_no_longer_has_are_listed(bundle: Path) -> None:
    def rename(model: faults.Model) -> None:
        old, new = faults.node(model, "Conv", 1), faults.node(model, "Relu", 1)
        old.output[0] = new.input[0] = "renamed"

    spoil(bundle, rename)
    report = validate(Bundle.open(bundle), ValidateOptions(batches=(2,), layerwise=True)).report
    assert report.verdict == "pass"
    assert report.drift[0].missing == ("net.4",)


def test_a_damaged_graph_is_never_loaded(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = bundle / "model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert cli.run(["validate", str(bundle), *QUICK]) == 4
    assert "is damaged" in capsys.readouterr().err


def test_a_graph_that_the_runtime_refuses_fails(bundle: Path) -> None:
    def break_it(model: faults.Model) -> None:
        faults.node(model, "Relu").op_type = "NoSuchOperator"

    spoil(bundle, break_it)
    report = validate(Bundle.open(bundle), ValidateOptions(batches=(1,))).report
    assert report.verdict == "fail"
    assert any("refuses the graph" in check.reason for check in report.checks)


def test_an_artifact_that_cannot_run_here_is_a_row_with_its_reason(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = Bundle.open(bundle)
    record = opened.add_file("engines/model.xml", b"<net/>")
    opened.add_artifact(
        "ov", Artifact(**record.model_dump(), format="openvino", source="model", target="cpu")
    )
    assert cli.run(["validate", str(bundle), *QUICK]) == 0
    (row,) = [check for check in report_of(bundle).checks if check.artifact == "ov"]
    assert row.verdict == "skipped"
    assert "openvino" in row.reason
    assert "Skipped: ov: " in capsys.readouterr().out


def test_a_device_that_is_not_there_is_no_pass(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["validate", str(bundle), *QUICK, "--device", "cuda:7"]) == 3
    assert "on cuda:7" in capsys.readouterr().err
    assert cli.run(["validate", str(bundle), *QUICK, "--device", "tpu"]) == 2


def test_a_machine_without_torch_takes_what_is_stored(bundle: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from lrn_deploy import cli\n"
        f"sys.exit(cli.run(['validate', {str(bundle)!r}, '--max-batch', '4']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "PASS" in done.stdout
    assert "Skipped: the reference: PyTorch is not installed" in done.stdout
    assert report_of(bundle).verdict == "pass"
    spoil(bundle, faults.leaky)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr


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


@pytest.mark.parametrize(
    ("largest", "batches"), [(8, (1, 3, 8)), (1, (1,)), (3, (1, 3)), (2, (1, 2)), (32, (1, 3, 32))]
)
def test_batch_sizes(largest: int, batches: tuple[int, ...]) -> None:
    assert batches_up_to(largest) == batches


def test_impossible_batch_sizes() -> None:
    with pytest.raises(BadInputError, match="1 or more"):
        batches_up_to(0)
    with pytest.raises(BadInputError, match="1 or more"):
        ValidateOptions(batches=())


def test_progress_is_told_in_steps(bundle: Path) -> None:
    told: list[tuple[str, int, int]] = []
    validate(
        Bundle.open(bundle),
        ValidateOptions(batches=(1,)),
        lambda what, done, total: told.append((what, done, total)),
    )
    assert told[0][0] == "computing the reference"
    assert told[-1] == ("done", 3, 3)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_each_precision_is_judged_where_it_is_made_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """bf16 is emulated on the CPU and labelled so; int8 answers for images like its own only."""
    bundle = exported("digits", tmp_path / "b")
    for precision in ("fp16", "bf16", "int8"):
        assert (
            run(["optimize", str(bundle.path), "--target", "tensorrt", "--precision", precision])
            == 0
        )
    capsys.readouterr()
    assert run(["validate", str(bundle.path), "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    outputs = [check for check in checks if check["kind"] == "outputs"]
    judged = {
        name: {c["inputs"].split("-")[0] for c in outputs if c["artifact"] == name and c["budget"]}
        for name in ("model", "trt-fp16", "trt-bf16", "trt-int8")
    }
    every = {"photographs", "random", "extremes", "active"}
    assert judged == {
        "model": every,
        "trt-fp16": every - {"extremes"},
        "trt-bf16": every,
        "trt-int8": {"photographs"},
    }
    assert all(c["metrics"] for c in outputs if ":cpu" in c["backend"])
    emulated = {c["backend"] for c in checks if c["artifact"] == "trt-bf16" and c["metrics"]}
    assert emulated == {"onnxruntime:cpu, bf16 emulated"}


@pytest.mark.tensorrt
def test_engine_that_cannot_run_here_is_hashed_and_said_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="builds its engine with tensorrt-rtx")
    if artifact_backends(["cuda"])[-1].probe().available:
        pytest.skip("there is a GPU here, and the engine runs")
    path = str(exported("digits", tmp_path / "b").path)
    assert run(["build-engine", path, "--target", "sm86"]) == 0
    assert run(["validate", path]) == 0
    assert "built, parsed and hashed, not run" in capsys.readouterr().out
    (engine,) = (tmp_path / "b" / "engines").glob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])
    assert run(["validate", path]) == 4
    assert "SHA-256" in capsys.readouterr().err

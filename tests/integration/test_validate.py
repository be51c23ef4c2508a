"""``lrn-deploy validate`` on a small bundle: what it checks, tells, and refuses."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from lrn_deploy import cli
from lrn_deploy.backends.registry import artifact_backends
from lrn_deploy.bundle import Artifact, Bundle
from lrn_deploy.cli import run
from lrn_deploy.errors import BadInputError
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.placement import Placement
from lrn_deploy.workflows.validate.options import ValidateOptions, batches_up_to
from lrn_deploy.workflows.validate.validate import validate
from tests.support import faults, validated
from tests.support.engine_graphs import engine_record
from tests.support.exported import exported
from tests.support.validated import (
    QUICK,
    leave_openvino_out,
    report_of,
    spoil,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CPU_BACKENDS = [
    f"{backend.name}:cpu" for backend in artifact_backends(["cpu"]) if backend.probe().available
]


@pytest.fixture
def checked() -> Path:
    return validated.checked()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the validated bundle to spoil."""
    return Path(shutil.copytree(validated.checked(), tmp_path / "bundle"))


@pytest.fixture
def one_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_openvino_out(monkeypatch)


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


@pytest.mark.parametrize("where", CPU_BACKENDS)
def test_only_what_is_asked_for_is_checked_and_only_there(bundle: Path, where: str) -> None:
    asked = frozenset({Placement.read("model", where)})
    report = validate(
        Bundle.open(bundle), ValidateOptions(batches=(1, 3, 4), placements=asked)
    ).report
    assert {check.placement for check in report.checks if check.artifact} == asked


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


@pytest.mark.usefixtures("one_backend")
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


@pytest.mark.usefixtures("one_backend")
def test_json_on_stdout_is_the_report(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", str(bundle), *QUICK, "--json"]) == 0
    captured = capsys.readouterr()
    printed = ParityReport.model_validate(json.loads(captured.out))
    assert printed == report_of(bundle)
    assert "PASS" in captured.err


@pytest.mark.usefixtures("one_backend")
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


@pytest.mark.usefixtures("one_backend")
def test_layerwise_on_a_clean_network(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["validate", str(bundle), *QUICK, "--layerwise"]) == 0
    assert "all 14 are within budget" in capsys.readouterr().out


@pytest.mark.usefixtures("one_backend")
def test_layers_that_a_graph_no_longer_has_are_listed(bundle: Path) -> None:
    def rename(model: faults.Model) -> None:
        old, new = faults.node(model, "Conv", 1), faults.node(model, "Relu", 1)
        old.output[0] = new.input[0] = "renamed"

    spoil(bundle, rename)
    report = validate(Bundle.open(bundle), ValidateOptions(batches=(2,), layerwise=True)).report
    assert report.verdict == "pass"
    assert report.drift[0].missing == ("net.4",)


@pytest.mark.usefixtures("one_backend")
def test_a_damaged_graph_is_never_loaded(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = bundle / "model.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert cli.run(["validate", str(bundle), *QUICK]) == 4
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.usefixtures("one_backend")
def test_a_graph_that_the_runtime_refuses_fails(bundle: Path) -> None:
    def break_it(model: faults.Model) -> None:
        faults.node(model, "Relu").op_type = "NoSuchOperator"

    spoil(bundle, break_it)
    report = validate(Bundle.open(bundle), ValidateOptions(batches=(1,))).report
    assert report.verdict == "fail"
    assert any("refuses the graph" in check.reason for check in report.checks)


@pytest.mark.usefixtures("one_backend")
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


@pytest.mark.usefixtures("one_backend")
def test_a_device_that_is_not_there_is_no_pass(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["validate", str(bundle), *QUICK, "--device", "cuda:7"]) == 3
    assert "on cuda:7" in capsys.readouterr().err
    assert cli.run(["validate", str(bundle), *QUICK, "--device", "tpu"]) == 2


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


@pytest.mark.usefixtures("one_backend")
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
    assert run(["validate", str(bundle.path), *QUICK, "--json"]) == 0
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


@pytest.mark.usefixtures("one_backend")
def test_an_engine_that_cannot_run_here_is_hashed_and_said_so(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if artifact_backends(["cuda"])[-1].probe().available:
        pytest.skip("there is a GPU here, and the engine runs")
    opened = Bundle.open(bundle)
    record = opened.add_file("engines/rtx.engine", b"plan")
    opened.add_artifact(
        "rtx-fp16",
        Artifact(
            **record.model_dump(), format="tensorrt-rtx", source="model", engine=engine_record()
        ),
    )
    assert cli.run(["validate", str(bundle), *QUICK]) == 0
    assert "built, parsed and hashed, not run" in capsys.readouterr().out
    (bundle / record.file).write_bytes(b"pla")
    assert cli.run(["validate", str(bundle), *QUICK]) == 4
    assert "SHA-256" in capsys.readouterr().err

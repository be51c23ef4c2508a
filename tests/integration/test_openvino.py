"""OpenVINO as a target of ``optimize`` and a backend of ``validate``, and NNCF as a quantizer."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lrn_deploy import cli
from lrn_deploy.backends import openvino
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Session
from lrn_deploy.backends.registry import artifact_backends, runs
from lrn_deploy.bundle import ArtifactData, Bundle
from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.models.digits_data import load_split
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.metrics import compare
from lrn_deploy.parity.schema import Check, ParityReport
from lrn_deploy.workflows.optimize.optimize import optimize
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support import faults
from tests.support.exported import exported
from tests.support.quantizer import leave_nncf_untraced

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("openvino", "nncf")),
    reason="openvino or nncf is not installed",
)

VARIANTS = {
    "openvino-bf16": ("openvino", "bf16", "own"),
    "openvino-int8": ("openvino", "int8", "own"),
    "openvino-int8-bf16": ("openvino", "int8-bf16", "own"),
    "openvino-int8-nncf": ("openvino", "int8", "nncf"),
    "openvino-int8-bf16-nncf": ("openvino", "int8-bf16", "nncf"),
    "cpu-int8-nncf": ("cpu", "int8", "nncf"),
}
QUICK = ValidateOptions(batches=(2,), devices=("cpu",))


def only(bundle: Bundle, *names: str) -> Bundle:
    """The bundle without its other variants, which are not validated then."""
    return bundle.update(
        artifacts={name: bundle.manifest.artifact(name) for name in ("model", *names)}
    )


def make(bundle: Bundle, name: str, **more: Any) -> Bundle:
    target, precision, quantizer = VARIANTS[name]
    return optimize(
        bundle, OptimizeOptions(target=target, precision=precision, quantizer=quantizer, **more)
    ).bundle


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The digits with every variant, validated once."""
    leave_nncf_untraced()
    path = tmp_path_factory.mktemp("openvino") / "digits"
    bundle = exported("digits", path)
    for name in VARIANTS:
        bundle = make(bundle, name)
    validate(bundle, QUICK)
    return Bundle.open(path)


@pytest.fixture
def digits(optimized: Bundle, tmp_path: Path) -> Bundle:
    """A copy to change."""
    shutil.copytree(optimized.path, tmp_path / "digits")
    return Bundle.open(tmp_path / "digits")


@pytest.fixture(scope="module")
def checks(optimized: Bundle) -> list[Check]:
    text = (optimized.path / "reports/parity.json").read_text()
    report = ParityReport.model_validate_json(text)
    assert report.verdict == "pass"
    return [check for check in report.checks if check.artifact]


def without_bf16_units() -> bool:
    return "with bf16" not in OpenVinoBackend().probe().detail


def skip_without_units(name: str) -> None:
    if "bf16" in name and without_bf16_units():
        pytest.skip("this processor has no bf16 units")


def test_each_artifact_is_checked_where_it_runs(checks: list[Check]) -> None:
    ran: dict[str, set[str]] = {}
    for check in checks:
        if check.metrics is not None:
            ran.setdefault(check.artifact, set()).add(check.backend)
    both, one = {"onnxruntime:cpu", "openvino:cpu"}, {"openvino:cpu"}
    expected = dict.fromkeys(VARIANTS, one) | {"model": both, "cpu-int8-nncf": both}
    if without_bf16_units():
        expected = {name: where for name, where in expected.items() if "bf16" not in name}
    assert ran == expected


@pytest.mark.parametrize("name", VARIANTS)
def test_every_lrn_layer_is_probed_alone(checks: list[Check], name: str) -> None:
    skip_without_units(name)
    probes = [c for c in checks if c.artifact == name and c.kind == "probe"]
    assert {check.subject for check in probes} == {"norm1", "norm2"}
    assert {check.verdict for check in probes} <= {"pass", "limited"}
    assert all(check.metrics for check in probes)


def outputs(bundle: Bundle, name: str) -> Any:
    """What an artifact says of the digits that the network was not trained on."""
    data = bundle.load(name)
    backend = next(item for item in artifact_backends(["cpu"]) if runs(item, data))
    with backend.load(data) as session:
        return session.run({"input": load_split()[1].inputs})["output"]


@pytest.fixture(scope="module")
def truth(optimized: Bundle) -> Any:
    return outputs(optimized, "model")


@pytest.mark.parametrize("name", VARIANTS)
def test_errors_and_accuracy_on_the_digits(optimized: Bundle, truth: Any, name: str) -> None:
    skip_without_units(name)
    test, y = load_split()[1], outputs(optimized, name)
    metrics = compare(y, truth)
    precision = optimized.manifest.artifact(name).precision
    assert Budgets().budget(precision, "ordinary").holds(metrics)  # type: ignore[union-attr]
    assert metrics.relative_l2 > 5e-4, "nothing was rounded"
    right, wrong = ((item.argmax(1) == test.labels).mean() for item in (truth, y))
    assert abs(right - wrong) <= 0.005


@pytest.mark.parametrize("name", VARIANTS)
def test_the_record_and_the_second_time(optimized: Bundle, name: str) -> None:
    artifact = optimized.manifest.artifact(name)
    target, precision, _quantizer = VARIANTS[name]
    assert (artifact.target, artifact.precision, artifact.source) == (target, precision, "model")
    assert make(optimized, name) is optimized


def test_bf16_is_the_canonical_graph_without_a_second_copy(optimized: Bundle) -> None:
    model, bf16 = (optimized.manifest.artifact(name) for name in ("model", "openvino-bf16"))
    assert (bf16.file, bf16.sha256, bf16.size) == (model.file, model.sha256, model.size)
    assert not (optimized.path / "variants/openvino-bf16.onnx").exists()


def test_bf16_follows_a_replaced_model(digits: Bundle) -> None:
    artifact = digits.manifest.artifact("model")
    model = onnx.load_model_from_string(digits.read(artifact))
    model.doc_string = "another"
    record = digits.add_file(artifact.file, model.SerializeToString())
    changed = digits.add_artifact("model", artifact.model_copy(update=record.model_dump()))
    with pytest.raises(DamagedError, match="SHA-256"):
        changed.load("openvino-bf16")
    again = make(changed, "openvino-bf16")
    assert again.load("openvino-bf16").data == again.load("model").data


def test_other_images_for_int8_leave_int8_bf16_whole(digits: Bundle, tmp_path: Path) -> None:
    from PIL import Image

    for index in range(8):
        Image.fromarray(load_split()[0].images[index]).save(tmp_path / f"{index}.png")
    before = digits.manifest.artifact("openvino-int8").sha256
    again = make(digits, "openvino-int8", calibration=tmp_path)
    assert again.manifest.artifact("openvino-int8").sha256 != before
    again.load("openvino-int8-bf16")


def test_int8_bf16_is_the_graph_of_int8(digits: Bundle) -> None:
    def graph(name: str) -> onnx.GraphProto:
        return onnx.load_model_from_string(digits.load(name).data).graph

    assert graph("openvino-int8-bf16") == graph("openvino-int8")
    alone = digits.update(artifacts={"model": digits.manifest.artifact("model")})
    again = make(alone, "openvino-int8-bf16")
    assert set(again.manifest.artifacts) == {"model", "openvino-int8-bf16"}
    expected = digits.manifest.artifact("openvino-int8-bf16").sha256
    assert again.manifest.artifact("openvino-int8-bf16").sha256 == expected


def test_nncf_comes_out_the_same_again(digits: Bundle) -> None:
    artifact = digits.manifest.artifact("cpu-int8-nncf")
    (digits.path / artifact.file).unlink()
    again = make(digits, "cpu-int8-nncf").manifest.artifact("cpu-int8-nncf")
    assert again.sha256 == artifact.sha256


def test_nncf_quantizes_the_layers_and_leaves_lrn_in_float(optimized: Bundle) -> None:
    model = onnx.load_model_from_string(optimized.load("openvino-int8-nncf").data)
    quantized = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    makers = {n.output[0]: n for n in model.graph.node}
    layers = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
    assert len(layers) == 4
    assert all(node.input[1] in quantized for node in layers)
    for layer in optimized.manifest.lrn_layers:
        assert makers[layer.output].op_type == "LRN"
        assert makers[layer.output].input[0] == layer.input
        assert makers[layer.input].op_type == "Relu"


@pytest.mark.parametrize("name", ["openvino-int8", "openvino-int8-nncf"])
def test_a_wrong_alpha_in_the_artifact_is_caught(digits: Bundle, name: str) -> None:
    artifact = digits.manifest.artifact(name)
    model = onnx.load_model_from_string(digits.read(artifact))
    faults.scale_attribute(faults.node(model, "LRN"), "alpha", 2)
    record = digits.add_file(artifact.file, model.SerializeToString())
    changed = only(digits, name).add_artifact(name, artifact.model_copy(update=record.model_dump()))
    report = validate(changed, QUICK).report
    assert report.verdict == "fail"
    failed = [check for check in report.checks if check.verdict == "fail"]
    assert {check.artifact for check in failed} == {name}
    assert "LRN alone: norm1" in report.caught_by
    assert "LRN alone: norm2" not in report.caught_by


def test_without_bf16_units_its_artifacts_are_rows_with_the_reason(
    digits: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(digits, "openvino-bf16")
    monkeypatch.setattr(openvino, "_capabilities", lambda: ["FP32", "INT8"])
    assert cli.run(["validate", str(digits.path), "--max-batch", "2", "--device", "cpu"]) == 0
    assert "Skipped: openvino-bf16: This processor has no bf16 units" in capsys.readouterr().out


def test_a_probe_that_openvino_cannot_run_is_a_row_with_the_reason(
    digits: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = OpenVinoBackend.load

    def load(self: OpenVinoBackend, artifact: ArtifactData) -> Session:
        nodes = onnx.load_model_from_string(artifact.data).graph.node
        if artifact.name == "LRN probe" and any(node.op_type == "LRN" for node in nodes):
            raise DamagedError("Primitive descriptor was not found.")
        return whole(self, artifact)

    only(digits, "openvino-int8")
    monkeypatch.setattr(OpenVinoBackend, "load", load)
    assert cli.run(["validate", str(digits.path), "--max-batch", "2", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "Skipped: openvino-int8: the runtime runs no LRN of these parameters alone" in out
    assert "Primitive descriptor was not found." in out


def test_absent_it_is_not_noisy(
    digits: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "openvino" else find(name, *a)
    )
    assert cli.run(["validate", str(digits.path), "--max-batch", "2", "--device", "cpu"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "openvino:cpu" in line]
    assert {line.split()[0] for line in lines} == {n for n in VARIANTS if n.startswith("openvino")}
    assert all("skipped" in line for line in lines)


def test_absent_nncf_names_the_extra(digits: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingError, match="NNCF is not installed") as caught:
        make(digits, "cpu-int8-nncf")
    assert install("quantize") in caught.value.hint


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "openvino", "precision": "fp16"}, "openvino has no precision 'fp16'"),
        ({"target": "cpu", "precision": "int8-bf16"}, "cpu has no precision 'int8-bf16'"),
        ({"target": "tensorrt", "precision": "int8", "quantizer": "nncf"}, "tensorrt does not"),
        ({"target": "cpu", "precision": "fp32", "quantizer": "nncf"}, "fp32 is not quantized"),
        ({"target": "cpu", "precision": "int8", "quantizer": "ours"}, "no quantizer 'ours'"),
        (
            {"target": "openvino", "precision": "bf16", "keep_lrn_fp32": False},
            "OpenVINO decides itself",
        ),
        ({"target": "openvino", "precision": "fp32", "calibration": Path()}, "not calibrated"),
    ],
)
def test_what_cannot_be_made_is_refused(
    optimized: Bundle, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInputError, match=sentence):
        optimize(optimized, OptimizeOptions(**options))


def test_the_command(digits: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimize", str(digits.path), "--target", "openvino", "--precision"]
    (digits.path / "variants/openvino-int8-nncf.onnx").unlink()
    assert cli.run([*words, "int8", "--quantizer", "nncf", "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert (answer["name"], answer["reused"]) == ("openvino-int8-nncf", False)
    assert answer["artifact"]["options"]["quantizer"] == "nncf"
    assert answer["artifact"]["sha256"] == digits.manifest.artifact("openvino-int8-nncf").sha256
    assert "Made openvino-int8-nncf: variants/openvino-int8-nncf.onnx" in captured.err
    assert cli.run([*words, "fp32"]) == 0
    assert "'model' is used as it is" in capsys.readouterr().out
    without = {k: v for k, v in digits.manifest.artifacts.items() if k != "openvino-bf16"}
    digits.update(artifacts=without)
    assert cli.run([*words, "bf16"]) == 0
    assert "the graph 'model', to be computed in bf16; no new file" in capsys.readouterr().out


def test_batches_of_one_and_many_agree(optimized: Bundle) -> None:
    x = load_split()[1].inputs[:6]
    with OpenVinoBackend().load(optimized.load("openvino-int8-nncf")) as session:
        whole = session.run({"input": x})["output"]
        rows = [session.run({"input": x[at : at + 1]})["output"] for at in range(6)]
    np.testing.assert_allclose(np.concatenate(rows), whole, rtol=1e-4, atol=1e-4)

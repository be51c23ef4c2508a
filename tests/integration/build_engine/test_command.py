"""``lrn-deploy build-engine`` as people and programs call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrn_deploy.bundle import Bundle
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.tensorrt.flavor import find_flavor
from lrn_deploy.workflows.build_engine import build_engine as workflow
from tests.support.engine_builds import build, state
from tests.support.engine_graphs import make_bundle, network

pytestmark = pytest.mark.tensorrt


def test_an_engine_and_its_record(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(bundle, "--batch", "1,2,4", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["name"] == "rtx-fp32-sm86-sm89-sm120"
    assert answer["reused"] is False
    manifest = Bundle.open(bundle).manifest
    artifact = manifest.artifact(answer["name"])
    assert answer["artifact"] == artifact.model_dump(mode="json")
    assert (artifact.format, artifact.precision, artifact.source) == (
        "tensorrt-rtx",
        "fp32",
        "model",
    )
    record = artifact.engine
    assert record is not None
    assert record.version == find_flavor("rtx").version
    assert record.targets == ("sm86", "sm89", "sm120")
    assert record.source_sha256 == manifest.artifact("model").sha256
    assert record.profile["input"] == ((1, 3, 6, 6), (2, 3, 6, 6), (4, 3, 6, 6))
    assert (record.gpu, record.driver, record.realised) == (None, None, "unknown")
    assert [(item.name, item.form) for item in record.lrn] == [("net.2", "written out")]
    layers = json.loads((bundle / artifact.companions[0].file).read_bytes())
    assert layers["kind"] == "requested"
    assert "LRN" not in [layer["type"] for layer in layers["layers"]]


@pytest.mark.usefixtures("here")
def test_lrn_is_left_to_tensorrts_own_layer_where_that_is_asked_for(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(bundle, "--target", "sm89", "--lrn", "layer") == 0
    assert "LRN: net.2 native" in capsys.readouterr().out
    asked = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert asked.engine is not None
    assert [(item.name, item.form) for item in asked.engine.lrn] == [("net.2", "native")]
    layers = json.loads((bundle / asked.companions[0].file).read_bytes())["layers"]
    assert [layer["type"] for layer in layers].count("LRN") == 1
    assert build(bundle, "--target", "sm89", "--json") == 0
    assert json.loads(capsys.readouterr().out)["reused"] is False, "it is another engine"


@pytest.mark.usefixtures("here")
def test_people_read_what_was_built_and_that_it_was_not_run(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(bundle, "--target", "sm89", "--precision", "tf32", "--workspace", "64M") == 0
    text = capsys.readouterr().out
    assert "runs on: sm89; batch 1 to 32, best at 8; TF32 on" in text
    assert "LRN: net.2 written out: TensorRT for RTX computes its own LRN layer as a pool" in text
    assert "built, hashed and parsed; not run" in text


@pytest.mark.usefixtures("here")
def test_the_same_again_returns_at_once(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(bundle) == 0
    before = state(bundle)
    monkeypatch.setattr(workflow, "build_in_process", lambda *_: pytest.fail("it was built again"))
    capsys.readouterr()
    assert build(bundle) == 0
    assert "is up to date: same graph, options and tools" in capsys.readouterr().out
    assert state(bundle) == before


@pytest.mark.usefixtures("here")
def test_other_options_replace_the_engine_and_leave_nothing_behind(bundle: Path) -> None:
    assert build(bundle, "--target", "sm89") == 0
    first = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert build(bundle, "--target", "sm89", "--batch", "1,1,2") == 0
    second = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert first.key != second.key
    assert {path.name for path in (bundle / "engines").iterdir()} == {
        Path(record.file).name for record in (second, *second.companions)
    }


@pytest.mark.usefixtures("here")
def test_an_lrn_outside_the_limits_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = LrnSpec(17)
    make_bundle(tmp_path / "wide", network(spec=spec), spec)
    assert build(tmp_path / "wide", "--target", "sm89") == 0
    slow = "TensorRT for RTX computes its own LRN layer as a pooling, which takes longer"
    assert f"LRN: net.2 written out: {slow}" in capsys.readouterr().out
    assert build(tmp_path / "wide", "--target", "sm89", "--lrn", "layer") == 0
    limit = "its window of 17 is not odd and at most 15"
    assert f"LRN: net.2 written out: {limit}" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_both_lrn_layers_of_a_network_are_written_out(digits: Path) -> None:
    assert build(digits, "--target", "sm89") == 0
    artifact = Bundle.open(digits).manifest.artifact("rtx-fp32-sm89")
    assert artifact.engine is not None
    assert artifact.size > 4 * 30_634  # its weights are in it
    assert [item.form for item in artifact.engine.lrn] == ["written out", "written out"]
    layers = json.loads((digits / artifact.companions[0].file).read_bytes())["layers"]
    types = [layer["type"] for layer in layers]
    assert "LRN" not in types
    assert types.count("SLICE") >= 2 * 5  # (a + b) + (c + d) + e, and pairs serve two windows

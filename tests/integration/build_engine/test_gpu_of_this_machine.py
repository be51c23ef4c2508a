"""``lrn-deploy build-engine`` where there is a GPU: what it refuses, and what it computes in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import CheckFailedError, DamagedError, MissingError
from lrn_deploy.tensorrt.build import BuiltEngine
from lrn_deploy.tensorrt.fit import Machine, check_fit
from lrn_deploy.tensorrt.flavor import find_flavor
from lrn_deploy.workflows.build_engine import build_engine as workflow
from lrn_deploy.workflows.build_engine.build_engine import EngineOptions, build_bundle_engine
from tests.support.engine_builds import answer, build, built_here, realise, refuse, state
from tests.support.fake_gpu import DEVICE, untold_types

pytestmark = pytest.mark.tensorrt


@pytest.mark.usefixtures("here")
def test_realised_types_are_recorded_where_a_gpu_tells(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realise(monkeypatch, "fp32")
    assert build(bundle, "--target", "sm89") == 0
    artifact = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert artifact.engine is not None
    assert (artifact.engine.realised, artifact.engine.gpu) == ("as requested", "Fake RTX")
    assert [file.file.split(".", 2)[2] for file in artifact.companions] == [
        "network.json",
        "layers.json",
    ]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "layers"),
    [(untold_types("r"), 1), ('{"Layers": ["relu"]}', 0), ("no JSON", 0)],
    ids=["no types", "no details", "no JSON"],
)
def test_what_the_inspector_does_not_tell_is_unknown_and_its_words_are_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, text: str, layers: int
) -> None:
    answer(monkeypatch, text)
    assert build(bundle, "--target", "sm89") == 0
    artifact = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89")
    assert artifact.engine is not None
    assert artifact.engine.realised == "unknown"
    record = json.loads((bundle / artifact.companions[1].file).read_bytes())
    assert (record["kind"], record["inspector"]) == ("realised", text)
    assert len(record["layers"]) == layers
    requested = json.loads((bundle / artifact.companions[0].file).read_bytes())
    assert "inspector" not in requested


@pytest.mark.usefixtures("here")
def test_an_engine_that_does_not_load_on_the_gpu_that_it_is_for_is_an_error(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch)
    before = state(bundle)
    with pytest.raises(DamagedError, match="just built for this GPU: The engine cannot") as caught:
        build_bundle_engine(Bundle.open(bundle), EngineOptions("rtx", targets=("sm86", "sm89")))
    assert "lrn-deploy doctor" in caught.value.hint
    assert state(bundle) == before


@pytest.mark.usefixtures("here")
def test_a_portable_engine_need_not_load_on_the_gpu_that_is_there(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(monkeypatch)
    assert build(bundle, "--target", "portable", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "rtx-fp32-portable"
    record = Bundle.open(bundle).manifest.artifact("rtx-fp32-portable").engine
    assert record is not None
    assert (record.targets, record.realised) == (("portable",), "unknown")


HOPPER = replace(DEVICE, name="NVIDIA H100", sm="sm90")


def test_nothing_is_built_for_a_gpu_of_this_machine_that_rtx_refuses(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_flavor("rtx"), "version", "1.7.1.116")
    monkeypatch.setattr(workflow, "find_device", lambda: HOPPER)
    monkeypatch.setattr(workflow, "build_in_process", lambda *_: pytest.fail("it was built"))
    for targets in ((), ("current",)):
        request = EngineOptions("rtx", targets=targets)
        with pytest.raises(MissingError, match=r"does not run on this machine's NVIDIA H100") as it:
            build_bundle_engine(Bundle.open(bundle), request)
        assert "tensorrt-rtx==1.6.1.120. For another machine" in it.value.hint
    monkeypatch.setattr(workflow, "build_in_process", lambda *asked: built_here(*asked[:3]))
    assert build(bundle, "--target", "sm89") == 0  # for another machine


def test_an_older_rtx_builds_for_that_gpu_as_the_one_that_is_there(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_elsewhere(flavor: Any, graph: bytes, request: Any, _progress: Any) -> BuiltEngine:
        assert request.targets == ("current",)  # which takes a GPU to build for
        return built_here(flavor, graph, replace(request, targets=("sm89",)))

    monkeypatch.setattr(find_flavor("rtx"), "version", "1.6.1.120")
    monkeypatch.setattr(workflow, "build_in_process", build_elsewhere)
    answer(monkeypatch, untold_types("r"), HOPPER)
    assert build(bundle) == 0
    artifact = Bundle.open(bundle).load("rtx-fp32-sm90")
    assert artifact.engine is not None
    assert artifact.engine.targets == ("sm90",)
    machine = Machine(
        versions={"rtx": "1.6.1.120"},
        platform=artifact.engine.platform,
        sm="sm90",
        gpu=HOPPER.name,
        driver=HOPPER.driver,
        free_memory=HOPPER.free_memory,
    )
    check_fit(artifact, machine)


@pytest.mark.usefixtures("here")
def test_other_types_than_requested_are_an_error_unless_allowed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    realise(monkeypatch, "fp16")
    before = state(bundle)
    with pytest.raises(CheckFailedError, match="'r': fp16 instead of fp32"):
        build_bundle_engine(Bundle.open(bundle), EngineOptions("rtx", targets=("sm89",)))
    assert state(bundle) == before
    assert build(bundle, "--target", "sm89", "--allow-other-types") == 0
    record = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89").engine
    assert record is not None
    assert record.realised == "different"
    assert "'r': fp16 instead of fp32" in record.difference


@pytest.mark.usefixtures("here")
def test_fp32_that_the_gpu_rounds_to_tf32_is_an_error_unless_allowed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, untold_types("r", text="fp32"), tf32=True)
    before = state(bundle)
    with pytest.raises(CheckFailedError, match="products of fp32 are computed in TF32") as caught:
        build_bundle_engine(Bundle.open(bundle), EngineOptions("rtx", targets=("sm89",)))
    assert "--allow-other-types" in caught.value.hint
    assert state(bundle) == before
    assert build(bundle, "--target", "sm89", "--allow-other-types") == 0
    text = capsys.readouterr().out
    record = Bundle.open(bundle).manifest.artifact("rtx-fp32-sm89").engine
    assert record is not None
    assert record.realised == "different"
    assert "computed in TF32, although that was switched off" in record.difference
    assert f"what it computes in: different: {record.difference}" in text


@pytest.mark.usefixtures("here")
def test_tf32_that_was_asked_for_is_no_difference(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, untold_types("r", text="fp32"), tf32=True)
    assert build(bundle, "--target", "sm89", "--precision", "tf32") == 0
    record = Bundle.open(bundle).manifest.artifact("rtx-tf32-sm89").engine
    assert record is not None
    assert (record.realised, record.difference) == ("as requested", "")

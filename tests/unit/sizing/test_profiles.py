"""Times read from profiles of both kinds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import RESULTS
from lrn_deploy.bundle import Bundle, Choice
from lrn_deploy.errors import BadInputError, DamagedError
from lrn_deploy.sizing.profiles import REPORT, chosen, read, read_own
from tests.support.image_bundles import colour_bundle
from tests.support.latency_reports import latency_report, with_profile

RECORD = RESULTS / "gpu" / "h200-2" / "latency.json"
ORT, FASTER = "model on onnxruntime:cpu", "model on openvino:cpu"
TIMES = {ORT: {1: [0.010, 0.012], 8: [0.04]}, FASTER: {1: [0.005], 8: [0.02]}}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return colour_bundle(tmp_path / "colours")


def test_a_report_gives_the_times_of_each_way_to_run(bundle: Bundle) -> None:
    found = read_own(with_profile(bundle, TIMES, threads=2, cores=6))
    assert list(found.curves) == [ORT, FASTER]
    curve = found.curves[ORT]
    assert (curve.device, curve.threads, sorted(curve.samples)) == ("cpu", 2, [1, 8])
    assert np.array_equal(curve.samples[1], [0.010, 0.012])
    assert (found.machine, found.cores, found.gpus) == ("A processor", 6, 0)
    assert found.prepare == pytest.approx(0.002)
    assert found.warnings == ()


def test_what_was_timed_beside_it_does_not_count(bundle: Bundle) -> None:
    report = latency_report(bundle, {ORT: {1: [0.01]}})
    (row,) = report.rows
    beside = (
        row.model_copy(update={"bundle": "other", "batch": 2}),
        row.model_copy(update={"batch": None}),
        row.model_copy(update={"artifact": "gone", "samples": ()}),
    )
    more = report.model_copy(update={"rows": (row, *beside)})
    bundle.add_file(REPORT, more.model_dump_json().encode())
    found = read_own(bundle)
    assert {name: sorted(curve.samples) for name, curve in found.curves.items()} == {ORT: [1]}
    assert found.warnings == ()
    assert (found.created, found.model) == ("2026-01-02T03:04:05+00:00", "colours")
    assert found.image == "JPEG, 640 x 427 pixels"
    bundle.add_file(
        REPORT, report.model_copy(update={"preparation": None}).model_dump_json().encode()
    )
    found = read_own(bundle)
    assert (found.prepare, found.image) == (None, "")


def test_where_it_was_timed_on_a_gpu_the_graph_runs_there(bundle: Bundle) -> None:
    on_gpu = "model on onnxruntime:cuda:0"
    half = "half on onnxruntime:cuda:0"  # faster, and nobody asked for less precision
    found = read_own(
        with_profile(bundle, {half: {1: [0.001]}, ORT: {1: [0.01]}, on_gpu: {1: [0.002]}})
    )
    curve = chosen(found, bundle.manifest)
    assert (curve.name, curve.device, found.gpus) == (on_gpu, "cuda", 1)


def test_what_the_server_would_run_is_planned_with(bundle: Bundle) -> None:
    found = read_own(with_profile(bundle, TIMES))
    manifest = bundle.manifest
    assert chosen(found, manifest).name == ORT  # untuned: the runtime that the server takes
    digest = manifest.artifact("model").sha256
    choice = Choice(artifact="model", sha256=digest, backend="openvino:cpu")
    assert chosen(found, manifest.model_copy(update={"choices": (choice,)})).name == FASTER
    assert chosen(found, manifest, FASTER).name == FASTER
    with pytest.raises(BadInputError, match="'int8' is not in") as caught:
        chosen(found, manifest, "int8")
    assert caught.value.hint == f"It has: {ORT}; {FASTER}."


def test_the_form_for_the_processor_comes_before_the_graph(bundle: Bundle) -> None:
    lowered = "cpu-fp32 on onnxruntime:cpu"
    found = read_own(with_profile(bundle, TIMES | {lowered: {1: [0.008]}}))
    assert chosen(found, bundle.manifest).name == lowered
    assert "Changed since it was profiled: cpu-fp32" in found.warnings[0]  # the bundle has none


def test_a_gpu_record_gives_times_from_and_to_the_host_of_what_the_server_runs(
    bundle: Bundle,
) -> None:
    found = read(RECORD)
    told = json.loads(RECORD.read_text())
    assert found.gpus == 1
    assert found.machine.startswith("NVIDIA H200; Intel")
    assert not any(name.startswith("torch") for name in found.curves)
    curve = chosen(found, bundle.manifest)
    assert (curve.name, curve.device) == ("rtx fp32, CUDA graph", "cuda")  # the fastest in fp32
    assert sorted(curve.samples) == [1, 8, 32]
    assert np.median(curve.samples[32]) == told["end_to_end"][2]["medians_s"][curve.name]
    only_one = "rtx fp16, batch 1, CUDA graph"  # an engine that takes nothing else
    assert only_one not in found.curves


def test_without_a_profile_it_says_how_to_make_one(bundle: Bundle) -> None:
    with pytest.raises(BadInputError, match="has no profile") as caught:
        read_own(bundle)
    assert f"lrn-deploy profile {bundle.path}" in caught.value.hint


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "{}", '{"stage": "latency"}', '{"stage": "latency", "machine": 3}']
)
def test_what_is_no_profile_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "latency.json"
    file.write_text(content)
    with pytest.raises(DamagedError, match="is no profile"):
        read(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="No such file"):
        read(tmp_path / "latency.json")


def test_a_profile_without_times_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BadInputError, match="no times of anything"):
        read_own(with_profile(bundle, {}))

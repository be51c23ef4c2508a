"""The network as a strip: which layers, in which order, and what is known of each."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lrn_deploy.bundle import Choice, LayerTensor, LrnLayer, Manifest
from lrn_deploy.latency.schema import LatencyReport, LayerTime
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.parity.schema import Check, ParityReport
from lrn_deploy.report.page.layer_facts import layer_names, views
from lrn_deploy.report.page.network import network
from lrn_deploy.report.source import Source
from tests.unit.report.conftest import DIGEST, HOSTILE, check

NAMES = ["conv1", "relu1", "norm1", "conv2", "norm2", HOSTILE]
CPU = "onnxruntime:cpu"


def lrn(name: str, value: str) -> LrnLayer:
    spec = LrnSpec(size=5, alpha=1e-4, beta=0.75, k=2.0)
    shape = ("batch", 96, 27, 27)
    return LrnLayer(name=name, spec=spec, form="kept", input=value, output=f"{name}_", shape=shape)


@pytest.fixture
def known(manifest: Manifest) -> Manifest:
    """A manifest that names six layers, two of them LRN."""
    tensors = ["conv2d", "relu", "lrn", "conv2d_1", "lrn_1", "output"]
    layers = [LayerTensor(module=m, tensor=t) for m, t in zip(NAMES, tensors, strict=True)]
    both = (lrn("norm1", "relu"), lrn("norm2", "conv2d_1"))
    return manifest.model_copy(update={"layers": tuple(layers), "lrn_layers": both})


def with_checks(parity: ParityReport, *checks: Check) -> ParityReport:
    return parity.model_copy(update={"checks": checks})


def layer(name: str, error: float, verdict: Any = "pass", **changes: Any) -> Check:
    return check("layer", error, verdict, subject=name, inputs="random", **changes)


def labels(drawn: str) -> list[str]:
    return re.findall(r'<svg [^>]*aria-label="([^"]*)"', drawn)


def test_the_strip_has_a_cell_for_each_layer_of_the_manifest_in_its_order(
    known: Manifest, parity: ParityReport, latency: LatencyReport
) -> None:
    source = Source(known, parity, latency)
    assert layer_names(known, parity, latency) == NAMES
    drawn = network(source)
    told = labels(drawn)
    assert len(told) == 6
    assert [name.partition(" ")[0] for name in told[:5]] == NAMES[:5]
    assert drawn.count("kind lrn") == 2 + 1  # the legend's
    assert "6 layers, 2 of them LRN, which take 38% of a run" in drawn  # 1.5 of 4 ms
    assert "As a table: 6 layers" in drawn
    assert drawn.count('role="rowheader"') == 6


def test_each_cell_has_the_worst_check_and_the_time_of_its_layer(
    known: Manifest, parity: ParityReport, latency: LatencyReport
) -> None:
    checks = (
        layer("conv1", 2e-8),
        layer("conv1", 5e-8),  # 7.5e-8 over a signal budget of 5e-6, 5e-8 over one of 1e-6
        layer("norm2", 3e-6, "fail"),
        check("probe", 9e-7, subject="norm1", inputs="amplitude 1"),
        layer("conv2", 9e-7, artifact=HOSTILE),
    )
    (first, _) = views(Source(known, with_checks(parity, *checks), latency))
    assert (first.artifact, first.backend, first.drift_of) == ("model", CPU, "layer")
    facts = {fact.name: fact for fact in first.layers}
    assert facts["conv1"].check == checks[1]
    assert facts["norm2"].check == checks[2]
    assert facts["norm1"].check is None  # alone it is another matter
    assert facts["conv2"].check is None
    timed = [name for name in NAMES if facts[name].time is not None]
    assert timed == ["norm1", "norm2", HOSTILE]
    assert [facts[name].kind for name in NAMES] == ["Conv", "Relu", "LRN", "Conv", "LRN", "Conv"]
    told = labels(network(Source(known, with_checks(parity, *checks), latency)))
    assert told[0] == (
        "conv1 (Conv); relative L2 error 5.0e-08, 0.05 of its budget; not timed by itself"
    )
    assert told[2] == "norm1 (LRN); not compared; 1 ms, 25% of the run"


def test_lrn_that_is_no_module_stands_behind_what_it_takes_its_input_of(known: Manifest) -> None:
    layers = tuple(entry for entry in known.layers if not entry.module.startswith("norm"))
    bare = known.model_copy(update={"layers": layers})
    assert layer_names(bare, None, None) == NAMES


def test_a_module_that_runs_twice_is_there_twice(known: Manifest) -> None:
    twice = (lrn("norm1", "relu"), lrn("norm1", "conv2d_1"))
    names = layer_names(known.model_copy(update={"lrn_layers": twice}), None, None)
    assert names == ["conv1", "relu1", "norm1 #1", "conv2", "norm1 #2", "norm2", HOSTILE]


def test_without_names_in_the_manifest_those_of_the_reports_are_drawn(
    known: Manifest, parity: ParityReport, latency: LatencyReport
) -> None:
    bare = known.model_copy(update={"layers": (), "lrn_layers": ()})
    assert layer_names(bare, parity, latency) == ["conv1", "norm2"]
    (traced,) = latency.layers
    beside = LayerTime(name="changes of layout", kind="layout", seconds=1e-4, share=0.025)
    traced = traced.model_copy(update={"layers": (*traced.layers, beside)})
    timed = latency.model_copy(update={"layers": (traced,)})
    assert layer_names(bare, None, timed) == [HOSTILE, "norm1", "norm2"]
    drawn = network(Source(bare, None, timed))
    assert "6.2% is outside of the layers, 2.5% is changes of layout." in drawn
    assert layer_names(bare, None, None) == []
    assert "no strip to draw" in network(Source(bare, None, None))


def test_without_layerwise_the_lrn_layers_have_the_error_of_each_alone(
    known: Manifest, parity: ParityReport
) -> None:
    probe = check("probe", 9e-7, subject="norm1", inputs="amplitude 1")
    broken = check("probe", 1, "fail", subject="norm2", metrics=None, budget=None, reason="no node")
    source = Source(known, with_checks(parity, probe, broken), None)
    (view,) = views(source)
    assert view.drift_of == "probe"
    drawn = network(source)
    told = labels(drawn)
    assert (
        told[2] == "norm1 (LRN); relative L2 error 9.0e-07, 0.9 of its budget; not timed by itself"
    )
    assert told[4] == "norm2 (LRN); fail: no node; not timed by itself"
    assert "--layerwise&#x27; compares every layer" in drawn
    assert "nothing was profiled" in drawn
    assert "1 of 2 compared is over budget: norm2." in drawn


def test_what_no_report_measured_is_said_and_the_layers_are_drawn(known: Manifest) -> None:
    drawn = network(Source(known, None, None))
    assert len(labels(drawn)) == 6
    assert "nothing was validated" in drawn
    assert "nothing was profiled" in drawn
    assert "6 layers, 2 of them LRN." in drawn


def test_times_of_other_bytes_are_not_drawn(
    known: Manifest, parity: ParityReport, latency: LatencyReport
) -> None:
    rows = tuple(row.model_copy(update={"sha256": "ef" * 32}) for row in latency.rows)
    source = Source(known, parity, latency.model_copy(update={"rows": rows}))
    assert source.outdated
    drawn = network(source)
    assert "measured of other bytes" in drawn
    assert not any("of the run" in told for told in labels(drawn))


def test_what_the_bundle_is_run_with_comes_first_and_the_others_are_folded_with_their_count(
    known: Manifest, parity: ParityReport, latency: LatencyReport
) -> None:
    checks = (
        layer("conv1", 5e-8),
        layer("conv1", 4e-8, artifact=HOSTILE, backend="openvino:cpu, note"),
        layer("conv1", 3e-8, backend="openvino:cpu"),
    )
    chosen = Choice(artifact=HOSTILE, sha256="cd" * 32, backend="openvino:cpu")
    tuned = known.model_copy(update={"choices": (chosen,)})
    found = views(Source(tuned, with_checks(parity, *checks), latency))
    order = [(view.artifact, view.backend) for view in found]
    assert order == [(HOSTILE, "openvino:cpu"), ("model", CPU), ("model", "openvino:cpu")]
    assert found[1].times is not None
    drawn = network(Source(tuned, with_checks(parity, *checks), latency))
    folded = drawn.index("2 more, of other artifacts and backends</summary>")
    assert folded < drawn.index(f"Layers of model on {CPU}")
    lost = tuned.model_copy(update={"choices": (chosen.model_copy(update={"sha256": DIGEST}),)})
    assert views(Source(lost, with_checks(parity, *checks), latency))[0].artifact == "model"

"""LRN that a network writes by itself, or by CrossMapLRN2d, from the export to the probes."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lrn_deploy import cli
from lrn_deploy.bundle import Bundle, Manifest
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.report.console.export import describe_lrn, describe_lrn_like
from lrn_deploy.report.page.bundle import lrn_layers
from lrn_deploy.report.source import Source
from tests.support import faults
from tests.support.validated import spoil

NETWORKS = Path(__file__).parents[1] / "support/networks.py"
TORN = NETWORKS.with_name("torn_networks.py")
NAMES = ("sum_of_slices", "convolution_of_ones", "even_by_hand", "within_channels", "cross_map")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("raised")
    networks = {name: f"{NETWORKS}:{name}" for name in NAMES} | {"by_probes": f"{TORN}:by_probes"}
    return {
        name: export_bundle(ExportOptions(factory), folder / name)
        for name, factory in networks.items()
    }


def operators(bundle: Bundle) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(bundle.load("model").data).graph.node]


@pytest.mark.parametrize(
    ("name", "spec", "proven"),
    [
        ("sum_of_slices", LrnSpec(5, 2e-4, 0.75, 2.0), "Mul/Slice/Add/Pow/Div by structure"),
        ("convolution_of_ones", LrnSpec(5, 1e-4, 0.5, 2.0), "Mul/Conv/Add/Sqrt/Div by structure"),
    ],
)
def test_proven_operators_become_a_node_whose_record_says_where_it_is_from(
    bundles: dict[str, Bundle], name: str, spec: LrnSpec, proven: str
) -> None:
    assert operators(bundles[name]) == ["Conv", "Relu", "LRN", "MaxPool"]
    (layer,) = Bundle.open(bundles[name].path).manifest.lrn_layers
    assert (layer.name, layer.spec, layer.form) == ("norm", spec, "kept")
    assert (layer.origin, layer.proven_from) == ("raised", proven)
    assert describe_lrn(layer) == (
        f"1 layer, proven from {proven} at norm, size 5, alpha {spec.alpha:g}, "
        f"beta {spec.beta:g}, k 2, kept"
    )


def test_layers_that_only_probes_prove_are_recorded_where_their_node_stands(
    bundles: dict[str, Bundle],
) -> None:
    """Between Transposes where the channels are last, and between Reshapes at another rank."""
    assert operators(bundles["by_probes"]).count("LRN") == 2
    last, flat = Bundle.open(bundles["by_probes"].path).manifest.lrn_layers
    assert (last.name, last.spec) == ("norm", LrnSpec(5, 1e-4, 0.75, 2.0))
    assert last.proven_from == "Mul/MatMul/Add/Log/Exp by probes"
    assert last.shape[1:] == (8, 7, 7)
    assert (flat.name, flat.spec) == ("flat", LrnSpec(3, 3e-4, 0.5, 1.0))
    assert flat.proven_from == "Mul/CumSum/Slice/Sub/Add/Sqrt/Div by probes"
    assert flat.shape[1:] == (8, 9, 1)
    assert (last.form, flat.form) == ("kept", "kept")


def test_what_no_node_computes_is_proven_too(bundles: dict[str, Bundle]) -> None:
    assert "LRN" not in operators(bundles["even_by_hand"])
    (layer,) = bundles["even_by_hand"].manifest.lrn_layers
    assert (layer.spec, layer.origin) == (LrnSpec(4, 2e-4, 0.75, 2.0), "raised")
    assert layer.form == "written out"
    assert "size 4 is even" in describe_lrn(layer)


def test_lrn_within_channels_is_told_and_left_as_it_is_written(bundles: dict[str, Bundle]) -> None:
    manifest = bundles["within_channels"].manifest
    assert manifest.lrn_layers == ()
    (item,) = manifest.lrn_like
    assert describe_lrn_like(item) == (
        "norm looks like one and stays as the network writes it: it averages over the pixels "
        "within each channel, which ONNX's LRN cannot express"
    )
    assert "AveragePool" in operators(bundles["within_channels"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sum_of_slices", ["norm", "proven from Mul/Slice/Add/Pow/Div", "0.0002"]),
        ("within_channels", ["norm looks like one", "pixels within each channel"]),
        ("cross_map", ["of CrossMapLRN2d", "numbers are kept"]),
    ],
)
def test_inspect_and_the_report_say_it(
    bundles: dict[str, Bundle],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    said: list[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "600")
    path = str(bundles[name].path)
    assert cli.run(["inspect", path]) == 0
    shown = capsys.readouterr().out
    drawn = html.unescape(str(lrn_layers(Source(bundles[name].manifest, None, None))))
    for words in said:
        assert words in shown
        assert words in drawn
    assert "The network has none" not in drawn


def validated(path: Path) -> dict[str, Any]:
    cli.run(["validate", str(path), "--max-batch", "2"])
    report: dict[str, Any] = json.loads((path / "reports" / "parity.json").read_text())
    return report


def with_fault(bundle: Bundle, path: Path, fault: Any) -> Path:
    """A copy of a bundle whose graph has a fault, with a hash that says all is well."""
    shutil.copytree(bundle.path, path)
    spoil(path, fault)
    return path


@pytest.mark.parametrize("name", ["sum_of_slices", "even_by_hand", "cross_map"])
def test_the_layer_is_probed_alone_and_made_to_act_in_the_network(
    bundles: dict[str, Bundle], name: str
) -> None:
    report = validated(bundles[name].path)
    assert report["caught_by"] == []
    probes = [check for check in report["checks"] if check["kind"] == "probe"]
    assert {check["subject"] for check in probes} == {"norm"}
    assert len(probes) >= 8
    assert {check["verdict"] for check in probes} <= {"pass", "limited"}
    active = max(values["norm"] for values in report["activity"].values())
    assert active > 1


def test_layers_that_probes_prove_are_probed_again_and_act(bundles: dict[str, Bundle]) -> None:
    report = validated(bundles["by_probes"].path)
    assert report["caught_by"] == []
    probes = [check for check in report["checks"] if check["kind"] == "probe"]
    assert {check["subject"] for check in probes} == {"norm", "flat"}
    assert {check["verdict"] for check in probes} <= {"pass", "limited"}


def let_channel_0_go(model: onnx.ModelProto) -> None:
    name = "local_response_norm_0_channel_0_alpha"
    kept = faults.weight(model, name)
    assert np.count_nonzero(kept) == 5, "channels 3 to 7 of 8"
    faults.set_weight(model, name, 0 * kept)


def alpha_as_the_sum_has_it(model: onnx.ModelProto) -> None:
    faults.scale_attribute(faults.node(model, "LRN"), "alpha", 0.2)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("cross_map", let_channel_0_go), ("sum_of_slices", alpha_as_the_sum_has_it)],
)
def test_a_wrong_layer_is_caught_alone_and_where_it_acts(
    bundles: dict[str, Bundle], tmp_path: Path, name: str, fault: Any
) -> None:
    caught = validated(with_fault(bundles[name], tmp_path / "faulty", fault))["caught_by"]
    assert "LRN alone: norm" in caught
    assert any(item.startswith("outputs on active") for item in caught)


def test_a_manifest_from_before_origins_were_recorded_opens(bundles: dict[str, Bundle]) -> None:
    content = bundles["cross_map"].manifest.model_dump(mode="json")
    del content["lrn_like"]
    for name in ("convention", "origin", "proven_from"):
        del content["lrn_layers"][0][name]
    (layer,) = Manifest.model_validate(content).lrn_layers
    assert (layer.convention, layer.origin, layer.proven_from) == ("torch", "module", "")

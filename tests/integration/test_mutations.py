"""A parity check must be able to fail: seeded faults in an exported graph, each of which is caught.

Each fault is recorded in the manifest with a valid hash, so that only the numbers can give it away.
The network is in the regime where faults of LRN hide best: on ordinary inputs most of them stay
below the budget, as :data:`HIDDEN` pins of three.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from lrn_deploy import cli
from lrn_deploy.backends.registry import artifact_backends
from lrn_deploy.bundle import Bundle
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.workflows.validate import validate
from tests.support import faults
from tests.support.faults import Model, node, scale_attribute, set_attribute, set_weight, weight

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = Path(__file__).parents[1] / "support/small_alexnet.py"
CONV_1, CONV_2, FC_1 = "net.0.weight", "net.4.weight", "classifier.0.weight"

Fault = Callable[[Model], None]


def negate_channel(model: Model) -> None:
    value = weight(model, CONV_2)
    value[7] *= -1
    set_weight(model, CONV_2, value)


def flip_one_weight(model: Model) -> None:
    value = weight(model, CONV_2)
    at = np.unravel_index(np.argmax(np.abs(value)), value.shape)
    value[at] *= -1
    set_weight(model, CONV_2, value)


def swap_channels(model: Model) -> None:
    value = weight(model, CONV_2)
    value[[3, 4]] = value[[4, 3]]
    set_weight(model, CONV_2, value)


def change_weight(model: Model, name: str, change: Callable[[faults.Array], faults.Array]) -> None:
    set_weight(model, name, change(weight(model, name)))


def lrn_attribute(model: Model, name: str, value: float, index: int = 0) -> None:
    set_attribute(node(model, "LRN", index), name, value)


def scale_alpha(model: Model, factor: float, index: int = 0) -> None:
    scale_attribute(node(model, "LRN", index), "alpha", factor)


def wrong_padding(model: Model) -> None:
    set_attribute(node(model, "Conv", 1), "pads", [0, 0, 2, 2])


def ceil_mode(model: Model) -> None:
    set_attribute(node(model, "MaxPool", 1), "ceil_mode", 1)


LRN_1, LRN_2 = "LRN alone: net.2", "LRN alone: net.6"
ORDINARY = "outputs on photographs"
ACTIVE = "outputs on active-x1000"

FAULTS: dict[str, tuple[Fault, set[str]]] = {
    # LRN: its own probe knows, and so does the whole network where LRN acts.
    "alpha not divided by the size": (partial(scale_alpha, factor=5.0), {LRN_1, ACTIVE}),
    "alpha divided twice": (partial(scale_alpha, factor=0.2), {LRN_1, ACTIVE}),
    "alpha of the second layer": (partial(scale_alpha, factor=5.0, index=1), {LRN_2, ACTIVE}),
    "window shifted by one channel": (faults.shift_window, {LRN_1, ACTIVE}),
    "window of the second layer shifted": (
        partial(faults.shift_window, index=1),
        {LRN_2, ACTIVE},
    ),
    "k = 1": (partial(lrn_attribute, name="bias", value=1.0), {LRN_1, ORDINARY}),
    "beta = 0.5": (partial(lrn_attribute, name="beta", value=0.5), {LRN_1, ORDINARY}),
    "size + 2": (partial(lrn_attribute, name="size", value=7), {LRN_1, ACTIVE}),
    "size - 2": (partial(lrn_attribute, name="size", value=3), {LRN_1, ACTIVE}),
    "size + 2 in the second layer": (
        partial(lrn_attribute, name="size", value=7, index=1),
        {LRN_2, ACTIVE},
    ),
    "LRN left out": (partial(faults.drop_node, op_type="LRN"), {LRN_1, ORDINARY}),
    "LRN as a constant factor": (faults.lrn_as_constant, {LRN_1, ACTIVE}),
    "norm and pool swapped": (faults.swap_norm_and_pool, {LRN_1, ACTIVE}),
    "norm and pool swapped in the second block": (
        partial(faults.swap_norm_and_pool, index=1),
        {LRN_2, ACTIVE},
    ),
    # The rest of the network: its outputs know.
    "transposed linear weight": (
        partial(change_weight, name=FC_1, change=lambda w: w.T),
        {ORDINARY},
    ),
    "kernel with height and width swapped": (
        partial(change_weight, name=CONV_1, change=lambda w: w.transpose(0, 1, 3, 2)),
        {ORDINARY},
    ),
    "BGR for RGB": (
        partial(change_weight, name=CONV_1, change=lambda w: w[:, ::-1]),
        {ORDINARY},
    ),
    "weights rounded to half precision": (
        partial(change_weight, name=CONV_2, change=lambda w: w.astype(np.float16).astype("f4")),
        {ORDINARY},
    ),
    "bias dropped": (
        partial(change_weight, name="net.4.bias", change=lambda b: b * 0),
        {ORDINARY},
    ),
    "channel negated": (negate_channel, {ORDINARY}),
    "two channels swapped": (swap_channels, {ORDINARY}),
    "one weight's sign flipped": (flip_one_weight, {ORDINARY}),
    "padding on the wrong side": (wrong_padding, {ORDINARY}),
    "pool in ceil mode": (ceil_mode, {ORDINARY}),
    "average in place of maximum": (faults.average_pool, {ORDINARY}),
    "ReLU left out": (partial(faults.drop_node, op_type="Relu", index=1), {ORDINARY}),
    "leaky ReLU": (faults.leaky, {ORDINARY}),
}

HIDDEN = {
    "window of the second layer shifted",
    "size + 2 in the second layer",
    "norm and pool swapped in the second block",
}
"""Faults that no ordinary input shows: without the probes they would pass."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clean")
    names = ("small_alexnet", "small_alexnet_even")
    for name in names:
        export_bundle(ExportOptions(f"{NETWORKS}:{name}"), folder / name)
    return {name: folder / name for name in names}


@pytest.fixture
def one_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is in the graph, whichever runs it: the first runtime is enough to give it away."""
    monkeypatch.setattr(
        validate,
        "artifact_backends",
        lambda *given, **named: artifact_backends(*given, **named)[:1],
    )


def with_fault(clean: Path, path: Path, fault: Fault) -> Path:
    """A copy of a bundle whose graph has a fault, with a hash that says all is well."""
    shutil.copytree(clean, path)
    bundle = Bundle.open(path)
    artifact = bundle.manifest.artifact("model")
    model = onnx.load_model_from_string(bundle.read(artifact))
    fault(model)
    del model.graph.value_info[:]  # shapes that the fault may have made wrong
    record = bundle.add_file(artifact.file, model.SerializeToString())
    bundle.add_artifact("model", artifact.model_copy(update=record.model_dump()))
    return path


def validated(path: Path) -> tuple[int, set[str]]:
    """The exit code of ``validate``, and the checks that failed."""
    code = cli.run(["validate", str(path), "--max-batch", "4"])
    report = json.loads((path / "reports" / "parity.json").read_text())
    return code, set(report["caught_by"])


@pytest.mark.parametrize("name", ["small_alexnet", "small_alexnet_even"])
def test_the_clean_network_passes(
    bundles: dict[str, Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, caught = validated(bundles[name])
    assert (code, caught) == (0, set())
    assert "PASS" in capsys.readouterr().out


@pytest.mark.usefixtures("one_runtime")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught_by(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    fault, expected = FAULTS[name]
    code, caught = validated(with_fault(bundles["small_alexnet"], tmp_path / "faulty", fault))
    assert code == 1
    assert expected <= caught
    assert "FAIL" in capsys.readouterr().out
    if expected == {ORDINARY}:
        assert not caught & {LRN_1, LRN_2}, "the LRN layers are right"
    if name in HIDDEN:
        assert not caught & {ORDINARY, "outputs on random"}


def test_a_mirrored_window_is_caught_in_every_runtime(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    path = with_fault(bundles["small_alexnet_even"], tmp_path / "faulty", faults.mirror_window)
    code, caught = validated(path)
    assert code == 1
    assert {LRN_1, ACTIVE} <= caught
    assert LRN_2 not in caught
    report = json.loads((path / "reports" / "parity.json").read_text())
    failed = {check["backend"] for check in report["checks"] if check["verdict"] == "fail"}
    assert failed == {"onnxruntime:cpu", "openvino:cpu"}

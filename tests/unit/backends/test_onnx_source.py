"""The file itself as the reference: who runs it, in which batches, and what if nobody can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from lrn_deploy.backends import onnx_source
from lrn_deploy.backends.onnx_source import OnnxSourceSession, runtime_of
from lrn_deploy.backends.protocol import Probe
from lrn_deploy.bundle import Manifest
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.onnx_files import read_judged
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from tests.support.onnx_graphs import by_onnxruntime, model, node, save, zoo

ABSENT = Probe(False, None, "It is not installed.", "Install it.")
RNG = np.random.default_rng(2)


def manifest_of(path: Path) -> Manifest:
    return import_network(ImportOptions(path), path.parent / "b", force=True).bundle.manifest


def opened(path: Path) -> OnnxSourceSession:
    manifest = manifest_of(path)
    assert manifest.model.runtime is not None
    return OnnxSourceSession(read_judged(path)[0], manifest.model.runtime, manifest)


@pytest.mark.parametrize(
    ("opset", "runtime"),
    [(1, "openvino"), (6, "openvino"), (7, "onnxruntime"), (13, "onnxruntime")],
)
def test_who_runs_a_file_depends_on_its_opset(tmp_path: Path, opset: int, runtime: str) -> None:
    made = model([node("Relu", "x", "y")], {"x": [1, 4]}, {"y": [1, 4]}, opset=opset, ir_version=3)
    file, written, _ = read_judged(save(tmp_path, made))
    assert runtime_of(file, written) == (runtime, "")


def test_an_lrn_of_another_rank_is_run_as_it_is_defined(tmp_path: Path) -> None:
    made = model(
        [node("LRN", "x", "y", size=3, alpha=2.0)], {"x": [1, 4, 3]}, {"y": None}, opset=13
    )
    x = RNG.normal(0, 2, (2, 4, 3)).astype(np.float32)
    with opened(save(tmp_path, made)) as session:
        got = session.run({"x": x})["y"]
    np.testing.assert_allclose(got, reference(x, LrnSpec(3, 2.0)), rtol=1e-5)


def test_a_runtime_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, zoo(3))
    manifest = manifest_of(path)
    monkeypatch.setattr(onnx_source.OpenVinoBackend, "probe", lambda _: ABSENT)
    file, opset, _ = read_judged(path)
    runtime, remark = runtime_of(file, opset)
    assert runtime == "openvino"
    assert remark == (
        "A file of opset 3 is run as it is by OpenVINO, for 'validate' to compare with. "
        "It is not installed. Install it."
    )
    with pytest.raises(MissingError, match="is run as it is by OpenVINO: It is not installed"):
        OnnxSourceSession(file, "openvino", manifest)


@pytest.mark.parametrize("batch", [1, 4, "n"])
def test_a_file_is_run_at_its_own_batch(tmp_path: Path, batch: int | str) -> None:
    path = save(tmp_path, zoo(9, batch=batch) if batch == 1 else rows(batch))
    name = "data" if batch == 1 else "x"
    with opened(path) as session:
        shape = (7, *session.inputs[0].shape[1:])
        x = RNG.normal(0, 1, [int(axis) for axis in shape]).astype(np.float32)
        (got,) = session.run({name: x}).values()
        for at in range(7):
            one = np.repeat(x[at : at + 1], batch if isinstance(batch, int) else 1, axis=0)
            (expected,) = by_onnxruntime(path.read_bytes(), {name: one})
            np.testing.assert_allclose(got[at], expected[0], rtol=1e-5, atol=1e-7)
        with pytest.raises(BadInputError, match="takes"):
            session.run({name: x[:, :1]})


def rows(batch: int | str) -> onnx.ModelProto:
    return model(
        [node("Softmax", "x", "y", axis=1)],
        {"x": [batch, 3, 2, 2]},
        {"y": [batch, 3, 2, 2]},
        opset=13,
    )


def test_an_lrn_of_an_even_size_is_run_with_the_window_that_onnx_says(tmp_path: Path) -> None:
    made = model(
        [node("LRN", "x", "y", size=4, alpha=2.0)], {"x": [1, 9, 2, 2]}, {"y": None}, opset=13
    )
    x = RNG.normal(0, 2, (3, 9, 2, 2)).astype(np.float32)
    with opened(save(tmp_path, made)) as session:
        got = session.run({"x": x})["y"]
    expected = reference(x, LrnSpec(4, 2.0), "onnx")
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert np.abs(expected - reference(x, LrnSpec(4, 2.0), "torch")).max() > 0.1


def test_values_on_the_way_are_shown_by_their_layers_names(tmp_path: Path) -> None:
    path = save(tmp_path, zoo(6))
    x = RNG.normal(0, 1, (3, 3, 10, 10)).astype(np.float32)
    with opened(path) as session:
        trace = session.trace({"data": x}, modules=("relu1_node", "norm1_node"))
    relu, norm = trace.modules["relu1_node"], trace.modules["norm1_node"]
    assert relu.shape == (3, 12, 8, 8)
    assert relu.min() == 0
    expected = reference(relu, LrnSpec(5, 0.3, 0.75, 2.0))
    np.testing.assert_allclose(norm, expected, rtol=1e-5, atol=1e-6)

"""The file itself as the reference: who runs it, in which batches, and what if nobody can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from lrn_deploy.backends import onnx_source
from lrn_deploy.backends.onnx_source import OnnxSourceSession, reopen, runtime_of
from lrn_deploy.backends.protocol import Probe
from lrn_deploy.bundle import Manifest
from lrn_deploy.errors import BadInputError, DamagedError, MissingError
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


def test_only_the_very_same_file_is_the_reference(tmp_path: Path) -> None:
    path = save(tmp_path, rows("n"))
    manifest = manifest_of(path)
    options = onnx_source._onnxruntime(path.read_bytes()).get_session_options()
    as_written = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert (options.graph_optimization_level, options.log_severity_level) == (as_written, 4)
    with reopen(manifest) as session:
        assert (session.device, session.label) == ("cpu", "onnxruntime:cpu")
        assert session.described.startswith("net.onnx in ONNX Runtime ")
        assert session.described.endswith(" on the CPU, as it is")
    for other in (rows(1).SerializeToString(), b"no graph"):
        path.write_bytes(other)
        with pytest.raises(BadInputError, match=r"net\.onnx' is no longer what"):
            reopen(manifest)
    path.unlink()
    with pytest.raises(BadInputError, match="cannot be read: No such file"):
        reopen(manifest)


def test_weights_beside_the_file_must_be_the_same_too(tmp_path: Path) -> None:
    weight = {"w": RNG.normal(0, 1, (3, 2)).astype(np.float32)}
    made = model([node("MatMul", "x w", "y")], {"x": [1, 3]}, {"y": [1, 2]}, weight)
    path = tmp_path / "net.onnx"
    onnx.save(made, path, save_as_external_data=True, location="net.bin", size_threshold=0)
    manifest = manifest_of(path)
    x = RNG.normal(0, 1, (4, 3)).astype(np.float32)
    with reopen(manifest) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], x @ weight["w"], rtol=1e-5)
    written = path.read_bytes()
    other = onnx.load(path, load_external_data=False)
    other.producer_name = "another"
    path.write_bytes(other.SerializeToString())
    with pytest.raises(BadInputError, match="is no longer what"):
        reopen(manifest)
    path.write_bytes(written)
    beside = tmp_path / "net.bin"
    beside.write_bytes(beside.read_bytes()[::-1])
    with pytest.raises(BadInputError, match="is no longer what"):
        reopen(manifest)


def test_a_file_that_only_openvino_takes_is_run_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, rows("n"))
    file, opset, _ = read_judged(path)
    monkeypatch.setattr(onnx_source, "_refuses_onnxruntime", lambda _: "No kernel.")
    assert runtime_of(file, opset) == ("openvino", "")
    monkeypatch.setattr(onnx_source.OpenVinoBackend, "probe", lambda _: ABSENT)
    assert runtime_of(file, opset) == (
        "onnxruntime", "The file cannot be run as it is: No kernel.",
    )  # fmt: skip


def test_where_onnx_runtime_is_not_there_it_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, rows("n"))
    manifest = manifest_of(path)
    file, opset, _ = read_judged(path)
    monkeypatch.setattr(onnx_source.OnnxRuntimeBackend, "probe", lambda _: ABSENT)
    monkeypatch.setattr(onnx_source, "_onnxruntime", lambda _: pytest.fail("it was asked"))
    assert runtime_of(file, opset) == ("onnxruntime", "")
    with pytest.raises(MissingError, match="is run as it is by ONNX Runtime: It is not installed"):
        OnnxSourceSession(file, "onnxruntime", manifest)


def test_a_value_that_the_file_has_not_is_damage(tmp_path: Path) -> None:
    path = save(tmp_path, rows("n"))
    session = OnnxSourceSession(read_judged(path)[0], "onnxruntime", manifest_of(path))
    session._tensors["y_node"] = "no such value"
    with pytest.raises(DamagedError, match=r"ONNX Runtime refuses 'net\.onnx'"):
        session.trace({"x": np.ones((1, 3, 2, 2), np.float32)}, modules=("y_node",))


def test_the_runtime_is_the_one_that_the_manifest_says(tmp_path: Path) -> None:
    old = reopen(manifest_of(save(tmp_path, zoo(3))))
    assert old.label == "openvino:cpu"
    manifest = manifest_of(save(tmp_path, rows("n")))
    unsaid = manifest.model.model_copy(update={"runtime": None})
    assert reopen(manifest.model_copy(update={"model": unsaid})).label == "onnxruntime:cpu"

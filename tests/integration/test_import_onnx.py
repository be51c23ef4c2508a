"""``lrn-deploy import FILE.onnx``: the file becomes a bundle, which validate holds against it."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import lrn_deploy
from lrn_deploy import cli
from lrn_deploy.backends.onnx_source import reopen
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.workflows import deploy as deploy_workflow
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.deploy import DeployOptions, deploy
from lrn_deploy.workflows.import_network.import_network import current_import, import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support.onnx_graphs import by_onnxruntime, model, node, save, zoo

OPTIONS = ValidateOptions(batches=(1, 3), devices=("cpu",))
RNG = np.random.default_rng(11)


def imported(file: Path, path: Path) -> Bundle:
    return import_network(ImportOptions(file), path).bundle


def report_of(bundle: Bundle, options: ValidateOptions = OPTIONS) -> ParityReport:
    return validate(bundle, options).report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of opset 9, and a bundle made of it."""
    path = tmp_path_factory.mktemp("onnx")
    imported(save(path, zoo(9)), path / "bundle")
    return path


def test_the_manifest_says_what_the_file_says(folder: Path) -> None:
    manifest = Bundle.open(folder / "bundle").manifest
    assert manifest.model.origin == "onnx"
    assert manifest.model.runtime == "onnxruntime"
    assert manifest.model.factory == str(folder / "net.onnx")
    assert manifest.model.sha256 == manifest.model.weights.sha256
    assert manifest.model.weights.note == "1,168 parameters from net.onnx, opset 9"
    assert [(spec.name, spec.shape) for spec in manifest.inputs] == [("data", ("batch", 3, 10, 10))]
    assert [(spec.name, spec.shape) for spec in manifest.outputs] == [("prob", ("batch", 5))]
    (layer,) = manifest.lrn_layers
    assert (layer.name, layer.spec, layer.convention) == (
        "norm1_node", LrnSpec(5, 0.3, 0.75, 2.0), "onnx",
    )  # fmt: skip
    assert (layer.form, layer.described_origin) == ("written out", "read in net.onnx")
    assert manifest.preprocessing is not None
    assert "mean" in manifest.preprocessing.assumed


@pytest.mark.parametrize(("opset", "runtime"), [(9, "onnxruntime"), (3, "openvino")])
def test_validate_holds_it_against_the_file_by_the_runtime_that_runs_it(
    tmp_path: Path, opset: int, runtime: str
) -> None:
    bundle = imported(save(tmp_path, zoo(opset)), tmp_path / "b")
    assert bundle.manifest.model.runtime == runtime
    report = report_of(bundle)
    assert report.verdict == "pass"
    (check,) = [item for item in report.checks if item.kind == "reference"][:1]
    assert (check.backend, check.verdict) == (f"{runtime}:cpu", "pass")
    sample = next(iter(Bundle.open(bundle.path).manifest.samples.values()))
    assert sample.reference.startswith("net.onnx in ")
    assert sample.reference.endswith(" on the CPU, as it is")
    assert (
        max(s.activity["norm1_node"] for s in Bundle.open(bundle.path).manifest.samples.values())
        > 0.1
    )


def test_a_fault_in_the_graph_is_caught(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(folder / "bundle", tmp_path / "bundle"))
    opened = Bundle.open(path)
    artifact = opened.manifest.artifact("model")
    graph = onnx.load_model_from_string(opened.read(artifact))
    bias = next(item for item in graph.graph.initializer if item.name.endswith("_k"))
    bias.CopyFrom(numpy_helper.from_array(np.float32(1.0), bias.name))
    record = opened.add_file(artifact.file, graph.SerializeToString())
    spoilt = artifact.model_copy(update=record.model_dump())
    assert report_of(opened.add_artifact("model", spoilt)).verdict == "fail"


def test_layers_are_compared_one_by_one(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(folder / "bundle", tmp_path / "bundle"))
    options = ValidateOptions(batches=(1,), devices=("cpu",), layerwise=True)
    report = report_of(Bundle.open(path), options)
    assert report.verdict == "pass"
    layers = {check.subject for check in report.checks if check.kind == "layer"}
    assert {"conv1_node", "bn_node", "norm1_node", "added_node", "flat_node"} <= layers


def test_a_file_that_changed_is_no_reference(tmp_path: Path) -> None:
    file = save(tmp_path, zoo(9))
    bundle = imported(file, tmp_path / "bundle")
    reopen(bundle.manifest).close()
    save(tmp_path, zoo(8))
    with pytest.raises(BadInputError, match=r"net\.onnx' is no longer what"):
        report_of(bundle)
    file.unlink()
    with pytest.raises(BadInputError, match="cannot be read"):
        reopen(bundle.manifest)


def test_weights_beside_the_file_are_in_the_bundle_and_watched(tmp_path: Path) -> None:
    made = zoo(9)
    weights = tmp_path / "net.bin"
    onnx.save(
        made,
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="net.bin",
        size_threshold=0,
    )
    bundle = imported(tmp_path / "net.onnx", tmp_path / "bundle")
    source = bundle.manifest.model
    assert source.sha256 != source.weights.sha256
    assert current_import(ImportOptions(tmp_path / "net.onnx"), bundle.path) is None
    assert report_of(bundle).verdict == "pass"
    weights.write_bytes(weights.read_bytes()[::-1])
    with pytest.raises(BadInputError, match="is no longer what"):
        reopen(bundle.manifest)
    assert report_of(Bundle.open(bundle.path)).verdict == "pass"  # by what it stored
    bundle.read(bundle.manifest.artifact("model"))


def lrn_graph(opset: int = 13, **attributes: float) -> onnx.ModelProto:
    weights = {"w": RNG.normal(0, 3, (8, 3, 1, 1)).astype(np.float32)}
    nodes = [node("Conv", "x w", "c"), node("LRN", "c", "y", **attributes)]
    return model(nodes, {"x": [1, 3, 6, 6]}, {"y": None}, weights, opset=opset)


@pytest.mark.parametrize(
    ("attributes", "spec", "form", "said"),
    [
        ({"size": 5}, LrnSpec(5, 1e-4, 0.75, 1.0), "kept", "alpha 0.0001 (ONNX's default)"),
        (  # TensorFlow's defaults with a radius of 5: alpha 1 times 11
            {"size": 11, "alpha": 11.0, "beta": 0.5, "bias": 1.0},
            LrnSpec(11, 11.0, 0.5, 1.0),
            "written out",
            "alpha 11 (net.onnx), divided by 11",
        ),
        (  # MATLAB's window of an even size is ONNX's
            {"size": 4, "alpha": 0.5},
            LrnSpec(4, 0.5, 0.75, 1.0),
            "written out",
            "size 4 (net.onnx)",
        ),
    ],
)
def test_lrn_nodes_become_what_runtimes_compute_rightly(
    tmp_path: Path, attributes: dict[str, float], spec: LrnSpec, form: str, said: str
) -> None:
    done = import_network(ImportOptions(save(tmp_path, lrn_graph(**attributes))), tmp_path / "b")
    (layer,) = done.bundle.manifest.lrn_layers
    assert (layer.spec, layer.form) == (spec, form)
    assert said in done.lrn[0]
    x = RNG.normal(0, 2, (2, 3, 6, 6)).astype(np.float32)
    data = done.bundle.load("model").data
    (got,) = by_onnxruntime(data, {"x": x})
    weights = numpy_helper.to_array(lrn_graph().graph.initializer[0])
    assert weights.shape == (8, 3, 1, 1)
    own = numpy_helper.to_array(onnx.load(tmp_path / "net.onnx").graph.initializer[0])
    conv = np.einsum("oc,nchw->nohw", own[:, :, 0, 0].astype(np.float64), x)
    np.testing.assert_allclose(got, reference(conv, spec, "onnx"), rtol=2e-5, atol=1e-6)


def test_an_even_lrn_of_a_file_is_validated_too(tmp_path: Path) -> None:
    bundle = imported(save(tmp_path, lrn_graph(size=4, alpha=0.5)), tmp_path / "b")
    report = report_of(bundle)
    assert report.verdict == "pass"
    assert any(check.kind == "probe" and check.verdict == "pass" for check in report.checks)


def test_an_lrn_taken_apart_is_one_node_again(tmp_path: Path) -> None:
    weights = {
        "w": RNG.normal(0, 3, (8, 3, 1, 1)).astype(np.float32),
        "deep": np.array([-1, 1, 8, 6, 6], np.int64),
        "flat": np.array([-1, 8, 6, 6], np.int64),
        "alpha": np.float32(1e-4),
        "k": np.float32(2),
        "beta": np.float32(0.75),
    }
    arrays = {name: np.asarray(values) for name, values in weights.items()}
    nodes = [
        node("Conv", "x w", "c"),
        node("Mul", "c c", "s"),
        node("Reshape", "s deep", "d"),
        node(
            "AveragePool",
            "d",
            "p",
            kernel_shape=[5, 1, 1],
            pads=[2, 0, 0, 2, 0, 0],
            count_include_pad=1,
        ),
        node("Reshape", "p flat", "f"),
        node("Mul", "f alpha", "g"),
        node("Add", "g k", "h"),
        node("Pow", "h beta", "i"),
        node("Div", "c i", "y"),
    ]
    made = model(nodes, {"x": [1, 3, 6, 6]}, {"y": None}, arrays, opset=11)
    done = import_network(ImportOptions(save(tmp_path, made)), tmp_path / "b")
    (layer,) = done.bundle.manifest.lrn_layers
    assert (layer.spec, layer.origin) == (LrnSpec(5, 1e-4, 0.75, 2.0), "raised")
    assert "across channels, proven from" in done.lrn[0]
    graph = onnx.load_model_from_string(done.bundle.load("model").data).graph
    assert [item.op_type for item in graph.node] == ["Conv", "LRN"]
    assert report_of(done.bundle).verdict == "pass"


@pytest.mark.parametrize("opset", [9, 11])
def test_what_torchscript_wrote_for_one_image_takes_any_number(tmp_path: Path, opset: int) -> None:
    """Its LRN is two dozen nodes of shapes; one node alone shows that rows stay apart."""
    torch.manual_seed(0)
    norm = nn.LocalResponseNorm(5, alpha=1e-3, k=2.0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), norm, nn.Flatten(), nn.Linear(288, 5)).eval()
    x = torch.randn(3, 3, 8, 8)
    file = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old, which is why it is here
        torch.onnx.export(net, x[:1], str(file), dynamo=False, opset_version=opset)
    bundle = imported(file, tmp_path / "b")
    (layer,) = bundle.manifest.lrn_layers
    assert (layer.spec, layer.origin, layer.shape) == (
        LrnSpec(5, 1e-3, 0.75, 2.0), "raised", ("batch", 8, 6, 6),
    )  # fmt: skip
    (spec,) = bundle.manifest.inputs
    assert spec.shape == ("batch", 3, 8, 8)
    (got,) = by_onnxruntime(bundle.load("model").data, {spec.name: x.numpy()})
    np.testing.assert_allclose(got, net(x).detach().numpy(), rtol=1e-4, atol=1e-6)


def test_lrn_between_transposes_stands_alone(tmp_path: Path) -> None:
    weights = {"w": RNG.normal(0, 3, (8, 3, 1, 1)).astype(np.float32)}
    nodes = [
        node("Conv", "x w", "c"),
        node("Transpose", "c", "l", perm=[0, 2, 3, 1]),
        node("Relu", "l", "r"),
        node("Transpose", "r", "f", perm=[0, 3, 1, 2]),
        node("LRN", "f", "n", size=3, alpha=3e-4),
        node("Transpose", "n", "m", perm=[0, 2, 3, 1]),
        node("Transpose", "m", "o", perm=[0, 3, 1, 2]),
        node("MaxPool", "o", "y", kernel_shape=[2, 2]),
    ]
    made = model(nodes, {"x": [1, 3, 6, 6]}, {"y": None}, weights, opset=13)
    bundle = imported(save(tmp_path, made), tmp_path / "b")
    graph = onnx.load_model_from_string(bundle.load("model").data).graph
    assert [item.op_type for item in graph.node] == ["Conv", "Relu", "LRN", "MaxPool"]
    options = ValidateOptions(batches=(2,), devices=("cpu",), layerwise=True)
    assert report_of(bundle, options).verdict == "pass"


def test_a_batch_that_cannot_be_freed_stays_and_is_told(tmp_path: Path) -> None:
    made = lrn_graph(size=3)
    made.graph.node.extend([node("Shape", "y", "s"), node("Reshape", "y s", "z")])
    made.graph.output[0].name = "z"
    done = import_network(ImportOptions(save(tmp_path, made)), tmp_path / "b")
    assert done.told == ("The batch stays 1: Shape 's_node' is not known to treat each row alone.",)
    assert done.bundle.manifest.inputs[0].shape == (1, 3, 6, 6)
    assert report_of(done.bundle).verdict == "pass"


def test_a_network_of_several_inputs_and_a_batch_of_four(tmp_path: Path) -> None:
    nodes = [node("LRN", "x", "n", size=3), node("Add", "n z", "y")]
    made = model(nodes, {"x": [4, 5, 6, 6], "z": [4, 5, 6, 6]}, {"y": None}, opset=13)
    bundle = imported(save(tmp_path, made), tmp_path / "b")
    assert [spec.shape[0] for spec in bundle.manifest.inputs] == ["batch", "batch"]
    assert bundle.manifest.preprocessing is None
    assert report_of(bundle).verdict == "pass"


def test_the_command_prints_each_lrn_and_what_was_done(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", str(folder / "net.onnx"), "-o", str(tmp_path / "b")]
    assert cli.run([*words, "--mean", "0.5,0.5,0.5", "--std", "1,1,1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "norm1_node: across channels (ONNX's LRN), size 5 (net.onnx), alpha 0.3 (net.onnx), "
        "divided by 5, beta 0.75 (ONNX's default), k 2 (net.onnx)" in said
    )
    assert "The weight 'unused', which nothing uses, was left out" in said
    assert cli.run([*words, "--json", "--force"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["manifest"]["model"]["origin"] == "onnx"


def test_python_imports_by_path(folder: Path, tmp_path: Path) -> None:
    bundle = lrn_deploy.import_model(str(folder / "net.onnx"), tmp_path / "b", name="nose")
    assert bundle.manifest.model.name == "nose"
    assert bundle.told[0].startswith("norm1_node: across channels")


def test_deploy_imports_builds_nothing_and_validates(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["deploy", str(folder / "net.onnx"), "-o", str(tmp_path / "b"), "--no-engine"]
    assert cli.run(words) == 0
    said = capsys.readouterr().out
    assert "Imported net.onnx" in said
    assert "PASS" in said
    assert cli.run(words) == 0
    assert "is up to date" in capsys.readouterr().out
    assert cli.run([*words, "--seed", "3"]) == 2
    assert "--seed does not go with" in capsys.readouterr().err


def pair(folder: Path) -> list[str]:
    (folder / "a.prototxt").write_text("")
    (folder / "b.onnx").write_bytes(b"")
    return ["a.prototxt", "b.onnx"]


def one(name: str, data: bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(data)
        return [name]

    return make


def network(made: onnx.ModelProto) -> Callable[[Path], list[str]]:
    return one("net.onnx", made.SerializeToString())


def outside() -> onnx.ModelProto:
    made = zoo(9)
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return made


def wrong_size() -> onnx.ModelProto:
    """The zoo's own fault: the inputs' size changed, and not the weights behind."""
    made = zoo(9)
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 13
    return made


def no_channels() -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    made = model([node("LRN", "x", "y", size=3)], {"x": [1, 4]}, {"y": None})
    made.graph.input[0].CopyFrom(value)
    return made


@pytest.mark.parametrize(
    ("files", "words", "said"),
    [
        (pair, (), "2 files are given, which are not one network"),
        (one("a.prototxt", b"x"), (), "the caffemodel is missing"),
        (one("a.caffemodel", b"x"), (), "the prototxt is missing"),
        (one("net.pt", b"PK\x03\x04"), (), "checkpoint of PyTorch's"),
        (one("net.onnx", b"version https://git-lfs.github.com/spec/v1"), (), "Git LFS"),
        (one("net.onnx", b"<!DOCTYPE html>"), (), "is a web page"),
        (one("net.pb", b"\x0a\x0b"), (), "is of a format that is not imported"),
        (one("net.npy", b"\x93NUMPY"), (), "array of NumPy's"),
        (one("net.onnx", zoo(9).SerializeToString()[:900]), (), "only a part of one"),
        (network(outside()), (), "outside the model's folder"),
        (network(wrong_size()), (), "makes [1, 24] of"),
        (network(no_channels()), (), "LRN"),
        (network(zoo(9)), ("--mean-file", "mean.npy"), "belongs to a network of Caffe's"),
        (network(zoo(9)), ("--shape", "3,9,9"), "does not fit the input 'data'"),
        (network(zoo(9)), ("--labels", "labels.txt"), "4 class names for an output of 5"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: Callable[[Path], list[str]],
    words: tuple[str, ...],
    said: str,
) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    monkeypatch.chdir(tmp_path)
    given = files(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert cli.run(["import", *given, "-o", "out", *words]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert said in told
    assert "Hint: " in told
    assert sorted(tmp_path.iterdir()) == before


def test_deploy_builds_the_engine_of_a_batch_that_is_fixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lrn_graph(size=3)
    made.graph.node.extend([node("Shape", "y", "s"), node("Reshape", "y s", "z")])
    made.graph.output[0].name = "z"
    asked = []

    def build(_bundle: Bundle, request: EngineOptions, *_: object) -> None:
        asked.append(request.batch)
        raise MissingError("None here.")

    monkeypatch.setattr(deploy_workflow, "build_bundle_engine", build)
    options = DeployOptions(
        ImportOptions(save(tmp_path, made)), validate=ValidateOptions(batches=(1,))
    )
    assert deploy(options, tmp_path / "b").no_engine == "None here."
    assert asked == [(1, 1, 1)]

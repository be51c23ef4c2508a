"""``lrn-deploy import``: Caffe's files become a bundle, which validate holds against them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from lrn_deploy import cli
from lrn_deploy.backends.caffe import reopen
from lrn_deploy.bundle import Bundle, Said
from lrn_deploy.caffe import read, run
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions
from lrn_deploy.workflows.validate.options import ValidateOptions
from lrn_deploy.workflows.validate.validate import validate
from tests.support.caffe_files import blob, caffemodel, deploy, message, real, write
from tests.support.faults import scale_attribute

RNG = np.random.default_rng(23)
BLOBS = {
    "conv1": [RNG.normal(0, 0.02, (8, 3, 3, 3)).astype(np.float32), np.zeros(8, np.float32)],
    "conv2": [RNG.normal(0, 0.3, (6, 8, 3, 3)).astype(np.float32), np.ones(6, np.float32)],
    "fc": [RNG.normal(0, 0.3, (5, 54)).astype(np.float32), np.zeros(5, np.float32)],
}
MEAN = message(1, "data") + message(2, "Data") + message(
    100, b"".join(real(5, value) for value in (104, 117, 123))
)  # fmt: skip
TEXT = deploy(
    (3, 10, 10),
    """\
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1"
  lrn_param { local_size: 3 alpha: 0.5 k: 2 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "norm2" type: "LRN" bottom: "conv2" top: "norm2" lrn_param { alpha: 0.001 k: 1 } }
layer { name: "square" type: "LRN" bottom: "norm2" top: "square"
  lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL alpha: 0.3 } }
layer { name: "drop" type: "Dropout" bottom: "square" top: "square" }
layer { name: "fc" type: "InnerProduct" bottom: "square" top: "fc"
  inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
""",
)
OPTIONS = ValidateOptions(batches=(1, 3), devices=("cpu",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files, and a bundle made of them."""
    path = tmp_path_factory.mktemp("caffe")
    files = write(path, TEXT, message(100, MEAN) + caffemodel(BLOBS, 1))
    labels = path / "labels.txt"
    labels.write_text("a\nb\nc\nd\ne\n")
    import_network(ImportOptions(files, labels=labels), path / "bundle")
    return path


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return Bundle.open(folder / "bundle")


def test_the_manifest_says_what_the_files_say(bundle: Bundle, folder: Path) -> None:
    manifest = bundle.manifest
    assert manifest.model.origin == "caffe"
    assert manifest.model.factory == str(folder / "deploy.prototxt")
    assert manifest.model.weights.file == str(folder / "net.caffemodel")
    assert [(spec.name, spec.shape) for spec in manifest.inputs] == [("data", ("batch", 3, 10, 10))]
    assert [(spec.name, spec.shape) for spec in manifest.outputs] == [("prob", ("batch", 5))]
    assert bundle.labels() == ("a", "b", "c", "d", "e")
    assert [
        (layer.name, layer.spec, layer.form, layer.described_origin)
        for layer in manifest.lrn_layers
    ] == [
        ("norm1", LrnSpec(3, 0.5, 0.75, 2.0), "written out", "read at deploy.prototxt:5"),
        ("norm2", LrnSpec(5, 0.001, 0.75, 1.0), "kept", "read at deploy.prototxt:11"),
    ]
    (like,) = manifest.lrn_like
    assert like.name == "square"
    assert "3 x 3 pixels in one channel" in like.reason
    assert "drop" not in [layer.module for layer in manifest.layers]


def test_the_preprocessing_is_the_files_and_what_is_not_in_them_is_assumed(bundle: Bundle) -> None:
    preprocessing = bundle.manifest.preprocessing
    assert preprocessing is not None
    assert (preprocessing.mode, preprocessing.scale, preprocessing.mean, preprocessing.std) == (
        "BGR", 1.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0),
    )  # fmt: skip
    assert preprocessing.assumed == ("resize", "interpolation")


def test_the_graph_computes_what_the_files_say(bundle: Bundle, folder: Path) -> None:
    data = bundle.load("model").data
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    x = RNG.normal(0, 60, (3, 3, 10, 10)).astype(np.float32)
    (y,) = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"data": x})
    network = read(folder / "deploy.prototxt", folder / "net.caffemodel")
    np.testing.assert_allclose(y, run(network, {"data": x})["prob"], rtol=1e-4, atol=1e-6)


def test_validate_holds_it_against_the_files(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(folder / "bundle", tmp_path / "bundle"))
    report = validate(Bundle.open(path), OPTIONS).report
    assert report.verdict == "pass"
    reference = next(check for check in report.checks if check.kind == "reference")
    assert (reference.backend, reference.verdict) == ("numpy:cpu", "pass")
    sample = next(iter(Bundle.open(path).manifest.samples.values()))
    assert sample.reference.startswith("Caffe's rules in NumPy")
    assert set(sample.activity) == {"norm1", "norm2"}

    opened = Bundle.open(path)
    artifact = opened.manifest.artifact("model")
    model = onnx.load_model_from_string(opened.read(artifact))
    scale_attribute(next(node for node in model.graph.node if node.op_type == "LRN"), "alpha", 5)
    record = opened.add_file(artifact.file, model.SerializeToString())
    spoilt = artifact.model_copy(update=record.model_dump())
    assert validate(opened.add_artifact("model", spoilt), OPTIONS).report.verdict == "fail"


def test_layers_are_compared_one_by_one(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(folder / "bundle", tmp_path / "bundle"))
    options = ValidateOptions(batches=(1,), devices=("cpu",), layerwise=True)
    report = validate(Bundle.open(path), options).report
    assert report.verdict == "pass"
    assert any(check.kind == "layer" for check in report.checks)


def test_files_that_changed_are_no_reference(tmp_path: Path) -> None:
    files = write(tmp_path, TEXT, caffemodel(BLOBS))
    bundle = import_network(ImportOptions(files), tmp_path / "bundle").bundle
    reopen(bundle.manifest).close()
    files[0].write_text(TEXT + "# a word more")
    with pytest.raises(BadInputError, match=r"deploy\.prototxt' is no longer what"):
        reopen(bundle.manifest)
    with pytest.raises(BadInputError, match="is no longer what"):
        validate(bundle, OPTIONS)
    files[0].write_text(TEXT)
    files[1].unlink()
    with pytest.raises(BadInputError, match="cannot be read"):
        reopen(bundle.manifest)


def test_the_command_prints_each_lrn_with_its_origins(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", str(folder / "deploy.prototxt"), str(folder / "net.caffemodel")]
    assert cli.run([*words, "-o", str(tmp_path / "b"), "--name", "nose"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "norm1: across channels (Caffe's default), size 3 (deploy.prototxt:6), alpha 0.5 "
        "(deploy.prototxt:6), divided by 3, beta 0.75 (Caffe's default), k 2 (deploy.prototxt:6)"
    ) in said
    assert "square: within channel (deploy.prototxt:13), size 3" in said
    assert "divided by 3 x 3" in said
    assert "norm1 written out" in said
    assert cli.run([*words, "-o", str(tmp_path / "b"), "--json", "--force"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["manifest"]["model"]["name"] == "b"
    assert len(told["lrn"]) == 3


def test_a_mean_that_nobody_says_is_assumed_and_one_that_is_said_goes_first(tmp_path: Path) -> None:
    files = write(tmp_path, TEXT, caffemodel(BLOBS))
    done = import_network(ImportOptions(files), tmp_path / "a")
    preprocessing = done.bundle.manifest.preprocessing
    assert preprocessing is not None
    assert (preprocessing.scale, preprocessing.mean) == (1.0, (104.0, 117.0, 123.0))
    assert preprocessing.assumed == ("resize", "interpolation", "mean")
    assert "is not known" in " ".join(done.told)
    said = Said(mean=(1.0, 2.0, 3.0))
    done = import_network(ImportOptions(files, preprocessing=said), tmp_path / "b")
    preprocessing = done.bundle.manifest.preprocessing
    assert preprocessing is not None
    assert (preprocessing.mode, preprocessing.scale, preprocessing.mean, preprocessing.std) == (
        "BGR", 1.0, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0),
    )  # fmt: skip
    mean = tmp_path / "mean.binaryproto"
    mean.write_bytes(blob(np.full((3, 12, 11), 9, np.float32), legacy=True))
    done = import_network(ImportOptions(files, mean=mean), tmp_path / "c")
    preprocessing = done.bundle.manifest.preprocessing
    assert preprocessing is not None
    assert (preprocessing.resize, preprocessing.mean) == ((12, 11), (9.0, 9.0, 9.0))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--labels", "none.txt"), "Cannot read the labels file"),
        (("--labels", "labels.txt"), "4 class names for an output of 5"),
        (("--mean-file", "mean.npy"), "the mean has 1 channels"),
        (("--shape", "3,9,9"), "'fc' needs blob 0 of 5 x 24"),
        (("--shape", "3,9,9", "--shape", "3,9,9"), "more than once"),
        (("--mean", "1,2"), "2 numbers for a network of 3"),
        (("--name", "a/b"), "cannot be the name"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    files = write(tmp_path, TEXT, caffemodel(BLOBS))
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    np.save(tmp_path / "mean.npy", np.zeros((1, 12, 12)))
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert cli.run(["import", *map(str, files), "-o", "out", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert sorted(tmp_path.iterdir()) == before


def test_layers_of_a_stage_are_there_if_it_holds_and_the_reference_has_them_too(
    tmp_path: Path,
) -> None:
    text = TEXT + (
        'layer { name: "twice" type: "Power" bottom: "prob" top: "twice" '
        'power_param { scale: 2 } include { stage: "doubled" } }'
    )
    files = write(tmp_path, text, caffemodel(BLOBS))
    x = RNG.normal(0, 30, (2, 3, 10, 10)).astype(np.float32)
    sums = {}
    for stages in ((), ("doubled",)):
        words = [word for stage in stages for word in ("--stage", stage)]
        folder = tmp_path / "-".join(("b", *stages))
        assert cli.run(["import", *map(str, files), "-o", str(folder), *words]) == 0
        bundle = Bundle.open(folder)
        (output,) = bundle.manifest.outputs
        graph = ort.InferenceSession(folder / "model.onnx").run([output.name], {"data": x})[0]
        truth = reopen(bundle.manifest).run({"data": x})[output.name]
        np.testing.assert_allclose(graph, truth, rtol=1e-5)
        sums[stages] = graph.sum(1)
    np.testing.assert_allclose(sums[()], 1, rtol=1e-6)
    np.testing.assert_allclose(sums["doubled",], 2, rtol=1e-6)


def test_a_bundle_that_is_there_stays_without_force(folder: Path) -> None:
    request = ImportOptions((folder / "deploy.prototxt", folder / "net.caffemodel"))
    with pytest.raises(BadInputError, match="already holds a bundle"):
        import_network(request, folder / "bundle")

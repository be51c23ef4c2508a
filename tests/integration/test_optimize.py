"""``lrn-deploy optimize``: variants that hold their error budgets before any GPU is seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from PIL import Image

from lrn_deploy import cli
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.images.examples import photographs
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.models.digits_data import load_split
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.metrics import compare
from lrn_deploy.passes.emulate_half import emulate_half
from lrn_deploy.passes.half_precision import half_precision
from lrn_deploy.passes.quantization.observe import serialize
from lrn_deploy.passes.quantization.quantize import quantize
from lrn_deploy.tensorrt.flavor import find_flavor
from lrn_deploy.workflows.optimize.calibration import calibration_inputs
from lrn_deploy.workflows.optimize.optimize import optimize
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.optimize.recipes import variant_name
from tests.support import validated
from tests.support.exported import exported
from tests.support.precision_graphs import Array, checked, inputs, run_all, small_network

VARIANTS = (("tensorrt", "fp16"), ("tensorrt", "bf16"), ("tensorrt", "int8"), ("cuda", "fp16"))
VARIANTS += (("cpu", "int8"), ("cpu", "fp32"))
NAMES = {"tensorrt": "trt", "cuda": "cuda", "cpu": "cpu"}

variants = pytest.mark.parametrize(("target", "precision"), VARIANTS)


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The digits with every variant."""
    bundle = exported("digits", tmp_path_factory.mktemp("optimized") / "digits")
    for target, precision in VARIANTS:
        bundle = optimize(bundle, OptimizeOptions(target=target, precision=precision)).bundle
    return bundle


@pytest.fixture
def digits(optimized: Bundle, tmp_path: Path) -> Bundle:
    """A copy to change."""
    shutil.copytree(optimized.path, tmp_path / "digits")
    return Bundle.open(tmp_path / "digits")


def outputs(bundle: Bundle, name: str, x: Array) -> Array:
    """The outputs of an artifact in ONNX Runtime; of a bf16 one, emulated."""
    data = bundle.load(name).data
    if bundle.manifest.artifact(name).precision == "bf16":
        model = emulate_half(ir.from_proto(onnx.load_model_from_string(data)))
        data = ir.to_proto(model).SerializeToString()
    return run_all(data, x)["output"]


def parsed_lrn_layers(data: bytes) -> int:
    """Number of native LRN layers in the network that TensorRT's parser makes of the graph."""
    try:
        flavor = find_flavor("rtx")
    except MissingError as error:
        pytest.skip(str(error))
    builder = flavor.start_builder()
    network = flavor.create_network(builder)
    parser = flavor.create_parser(network)
    assert parser.parse(data), [parser.get_error(at).desc() for at in range(parser.num_errors)]
    return sum("LRN" in str(network.get_layer(at).type) for at in range(network.num_layers))


@pytest.fixture(scope="module")
def truth(optimized: Bundle) -> Array:
    """What the network itself says of the digits that it was not trained on."""
    return outputs(optimized, "model", load_split()[1].inputs)


@variants
def test_errors_and_accuracy_on_the_digits(
    optimized: Bundle, truth: Array, target: str, precision: str
) -> None:
    test = load_split()[1]
    y = outputs(optimized, f"{NAMES[target]}-{precision}", test.inputs)
    assert Budgets().budget(precision, "ordinary").holds(compare(y, truth))
    right, wrong = ((item.argmax(1) == test.labels).mean() for item in (truth, y))
    assert abs(right - wrong) <= 0.005


@variants
def test_the_record_of_a_variant(optimized: Bundle, target: str, precision: str) -> None:
    name = f"{NAMES[target]}-{precision}"
    artifact = optimized.manifest.artifact(name)
    assert artifact.file == f"variants/{name}.onnx"
    assert (artifact.precision, artifact.target) == (precision, target)
    assert (artifact.source, artifact.format) == ("model", "onnx")
    assert artifact.built_by["command"] == "optimize"
    model = onnx.load_model_from_string(optimized.load(name).data)
    assert {item.type.tensor_type.elem_type for item in model.graph.input} == {1}
    assert {item.type.tensor_type.elem_type for item in model.graph.output} == {1}
    types = {item.name: item.type.tensor_type.elem_type for item in model.graph.value_info}
    for layer in optimized.manifest.lrn_layers:
        assert types[layer.input] == types[layer.output] == onnx.TensorProto.FLOAT


@pytest.mark.tensorrt
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_tensorrt_parses_every_variant(optimized: Bundle, precision: str) -> None:
    assert parsed_lrn_layers(optimized.load(f"trt-{precision}").data) == 2


@variants
def test_the_second_time_it_is_there(optimized: Bundle, target: str, precision: str) -> None:
    assert (
        optimize(optimized, OptimizeOptions(target=target, precision=precision)).bundle is optimized
    )


def test_int8_comes_out_the_same_again(digits: Bundle) -> None:
    before = digits.manifest.artifact("trt-int8").sha256
    (digits.path / "variants/trt-int8.onnx").unlink()
    again = optimize(digits, OptimizeOptions(target="tensorrt", precision="int8")).bundle
    assert again is not digits
    assert again.manifest.artifact("trt-int8").sha256 == before


def test_a_damaged_variant_is_made_again(digits: Bundle) -> None:
    file = digits.path / "variants/trt-fp16.onnx"
    before = file.read_bytes()
    file.write_bytes(before[:-1])
    optimize(digits, OptimizeOptions(target="tensorrt", precision="fp16"))
    assert file.read_bytes() == before


def test_other_options_and_images_make_another(digits: Bundle, tmp_path: Path) -> None:
    half = optimize(
        digits, OptimizeOptions(target="tensorrt", precision="fp16", keep_lrn_fp32=False)
    ).bundle
    assert half.manifest.artifact("trt-fp16").options["keep_lrn_fp32"] is False
    model = onnx.load_model_from_string(half.load("trt-fp16").data)
    types = {item.name: item.type.tensor_type.elem_type for item in model.graph.value_info}
    assert types[half.manifest.lrn_layers[0].input] == onnx.TensorProto.FLOAT16
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(8):
        Image.fromarray(load_split()[0].images[index]).save(photos / f"{index}.png")
    mine = optimize(
        half, OptimizeOptions(target="tensorrt", precision="int8", calibration=photos)
    ).bundle
    options = mine.manifest.artifact("trt-int8").options
    assert options["calibration"] == "8 of 8 images of the user's"
    assert options["calibration_sha256"] == calibration_inputs(mine.manifest, photos).digest


def test_pixels_as_input(tmp_path: Path) -> None:
    bundle = exported("digits", tmp_path / "digits", uint8_input=True)
    x = load_split()[1].images[:64, ..., None]
    truth = outputs(bundle, "model", x)
    for precision in ("fp16", "bf16", "int8"):
        bundle = optimize(bundle, OptimizeOptions(target="tensorrt", precision=precision)).bundle
        y = outputs(bundle, f"trt-{precision}", x)
        assert Budgets().budget(precision, "ordinary").holds(compare(y, truth)), precision


def test_a_network_without_lrn(tmp_path: Path) -> None:
    bundle = exported("digits_no_lrn", tmp_path / "twin")
    for precision in ("fp16", "int8"):
        bundle = optimize(bundle, OptimizeOptions(target="tensorrt", precision=precision)).bundle
    x = load_split()[1].inputs[:64]
    truth = outputs(bundle, "model", x)
    for precision in ("fp16", "int8"):
        metrics = compare(outputs(bundle, f"trt-{precision}", x), truth)
        assert Budgets().budget(precision, "ordinary").holds(metrics)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_lrn_is_lowered_for_the_cpu(optimized: Bundle, precision: str) -> None:
    artifact = optimized.manifest.artifact(f"cpu-{precision}")
    assert artifact.options["lower_lrn"] is True
    assert "lrn_left_alone" not in artifact.options
    model = onnx.load_model_from_string(optimized.load(f"cpu-{precision}").data)
    operators = [node.op_type for node in model.graph.node]
    assert "LRN" not in operators
    assert operators.count("Pad") == 2
    assert operators.count("Sqrt") == 4


def test_fp32_is_the_canonical_graph(digits: Bundle) -> None:
    assert variant_name("tensorrt", "fp32") == "model"
    assert optimize(digits, OptimizeOptions(target="tensorrt", precision="fp32")).bundle is digits


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "tpu", "precision": "fp16"}, "no target 'tpu'"),
        ({"target": "cuda", "precision": "bf16"}, "cuda has no precision 'bf16'"),
        ({"target": "tensorrt", "precision": "fp8"}, "tensorrt has no precision 'fp8'"),
        ({"target": "tensorrt", "precision": "int8", "keep_lrn_fp32": False}, "no int8 form"),
        ({"target": "cpu", "precision": "fp32", "keep_lrn_fp32": False}, "LRN is in fp32, too"),
        (
            {"target": "tensorrt", "precision": "fp16", "calibration": Path()},
            "fp16 is not calibrated",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(
    optimized: Bundle, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInputError, match=sentence):
        optimize(optimized, OptimizeOptions(**options))


def test_refused_images_leave_the_bundle_as_it_was(digits: Bundle, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in digits.path.rglob("*") if file.is_file()}
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ["optimize", str(digits.path), "--target", "tensorrt", "--precision", "int8"]
    assert cli.run([*words, "--calibration", str(empty)]) == 2
    assert {file: file.read_bytes() for file in digits.path.rglob("*") if file.is_file()} == before


def test_the_command(digits: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimize", str(digits.path), "--target", "tensorrt", "--precision"]
    (digits.path / "variants/trt-int8.onnx").unlink()
    assert cli.run([*words, "int8"]) == 0
    text = capsys.readouterr().out
    assert "Made trt-int8: variants/trt-int8.onnx" in text
    assert "calibrated on: 128 training images of digits" in text
    assert cli.run([*words, "int8", "--json"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert (answer["name"], answer["reused"]) == ("trt-int8", True)
    assert answer["artifact"]["precision"] == "int8"
    assert "trt-int8 is up to date" in captured.err
    assert cli.run([*words, "fp32"]) == 0
    assert "'model' is used as it is" in capsys.readouterr().out


def test_progress_is_told(digits: Bundle) -> None:
    (digits.path / "variants/trt-int8.onnx").unlink()
    told: list[str] = []
    optimize(
        digits,
        OptimizeOptions(target="tensorrt", precision="int8"),
        lambda what, _done, _total: told.append(what),
    )
    assert list(dict.fromkeys(told)) == ["reading", "calibrating", "writing"]


@pytest.mark.tensorrt
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_tensorrt_parses_an_lrn_that_is_written_out(precision: str) -> None:
    model, layers = small_network().build()
    if precision == "int8":
        quantize(model, lambda copy: [run_all(serialize(copy), inputs(model))], lrn_layers=layers)
    else:
        half_precision(model, "fp16" if precision == "fp16" else "bf16", lrn_layers=layers)
    assert parsed_lrn_layers(checked(model)) == 1


@pytest.fixture(scope="module")
def alexnet() -> Bundle:
    """A small network of AlexNet's structure, whose input is photographs."""
    return Bundle.open(validated.fresh())


@pytest.fixture(scope="module")
def crops(alexnet: Bundle) -> tuple[Array, Array]:
    """Parts of photographs, and what the network itself says of them."""
    preprocessing = alexnet.manifest.preprocessing
    assert preprocessing is not None
    crops = [
        item.image.crop(box)
        for item in photographs()
        for box in ((0, 0, 640, 427), (0, 0, 320, 213), (320, 213, 640, 427), (160, 0, 480, 320))
    ]
    x = np.stack([preprocess(crop, preprocessing) for crop in crops])
    return x, outputs(alexnet, "model", x)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_errors_on_photographs(
    alexnet: Bundle, crops: tuple[Array, Array], tmp_path: Path, precision: str
) -> None:
    x, truth = crops
    copy = Bundle.open(shutil.copytree(alexnet.path, tmp_path / "copy"))
    bundle = optimize(copy, OptimizeOptions(target="tensorrt", precision=precision)).bundle
    metrics = compare(outputs(bundle, f"trt-{precision}", x), truth)
    assert Budgets().budget(precision, "ordinary").holds(metrics)
    assert metrics.relative_l2 > 1e-4, "nothing was rounded"
    assert parsed_lrn_layers(bundle.load(f"trt-{precision}").data) == 2


def test_weights_that_no_layer_is_large_enough_for_are_refused(digits: Bundle) -> None:
    before = digits.manifest
    with pytest.raises(BadInputError, match=r"No fully connected layer is fit for w8: .+"):
        optimize(digits, OptimizeOptions(target="cpu", precision="w8"))
    assert Bundle.open(digits.path).manifest == before

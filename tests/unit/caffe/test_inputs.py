"""What a network takes, in each way that a prototxt says it, and weights that fit or do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.caffe.axes import MAX_VALUES, Shape
from lrn_deploy.caffe.files.phases import in_use
from lrn_deploy.caffe.files.record import Record, from_text
from lrn_deploy.caffe.files.text import parse
from lrn_deploy.caffe.files.training import cut_training
from lrn_deploy.caffe.files.upgrade import upgrade
from lrn_deploy.caffe.inputs import Input, find_inputs
from lrn_deploy.caffe.weights import Weights, read_weights
from lrn_deploy.errors import BadInputError
from tests.support.caffe_files import caffemodel, dims, layer, message, number

BLOBS = {"conv": [np.ones((2, 3, 5, 4), np.float32), np.zeros(2, np.float32)]}
CONV = "layer { type: 'Convolution' name: 'conv' bottom: 'x' top: 'y' "
CONV += "convolution_param { num_output: 2 kernel_size: 3 group: 2 } }"


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(caffemodel(BLOBS))
    return read_weights(path)


def inputs(text: str, weights: Weights, given: Shape | None = None) -> list[Input]:
    net = from_text(parse(text, "n"), "NetParameter")
    left = cut_training(in_use(upgrade(net), net.part("state")))
    return find_inputs(net, left, weights, given)[0]


def fed(kind: str, parameters: str = "", layers: str = CONV) -> str:
    return f"layer {{ type: '{kind}' name: 'd' top: 'x' top: 'l' {parameters} }} {layers}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("input: 'x' input_dim: [10, 3, 8, 9]", [Input("x", (3, 8, 9), 10)]),
        (
            "input: 'x' input: 'z' input_dim: [1, 3, 8, 9, 2, 4, 5, 6]",
            [Input("x", (3, 8, 9), 1), Input("z", (4, 5, 6), 2)],
        ),
        ("input: 'x' input_shape { dim: 2 dim: 7 }", [Input("x", (7,), 2)]),
        ("input: 'x' input_shape { dim: 2 }", [Input("x", (), 2)]),
        (
            "layer { type: 'Input' top: 'x' top: 'z' input_param { shape { dim: 1 dim: 3 } } }",
            [Input("x", (3,), 1), Input("z", (3,), 1)],
        ),
        (
            "layer { type: 'Input' top: 'x' top: 'z' "
            "input_param { shape { dim: 1 dim: 3 } shape { dim: 4 dim: 5 } } }",
            [Input("x", (3,), 1), Input("z", (5,), 4)],
        ),
        (fed("Data", "transform_param { crop_size: 8 }"), [Input("x", (6, 8, 8), 1)]),
        (
            fed(
                "Data",
                "transform_param { crop_size: 8 }",
                "layer { type: 'ReLU' bottom: 'x' }" + CONV,
            ),
            [Input("x", (6, 8, 8), 1)],
        ),
        (
            fed(
                "MemoryData",
                "memory_data_param { channels: 3 height: 4 } transform_param { crop_size: 8 }",
            ),
            [Input("x", (6, 8, 8), 1)],
        ),
        (
            fed("MemoryData", "memory_data_param { channels: 3 height: 8 width: 9 batch_size: 4 }"),
            [Input("x", (3, 8, 9), 1)],
        ),
        (
            fed("DummyData", "dummy_data_param { shape { dim: 2 dim: 3 } }"),
            [Input("x", (3,), 2)],
        ),
    ],
)
def test_each_way_to_say_an_input(text: str, found: list[Input], weights: Weights) -> None:
    """Of a data layer only the weights tell the channels: 3 for each of 2 groups."""
    assert inputs(text, weights) == found


def test_what_the_user_says_is_for_the_first_input(weights: Weights) -> None:
    text = "input: 'x' input: 'z' input_dim: [7, 3, 8, 9, 2, 4, 5, 6]"
    assert inputs(text, weights, (3, 16, 16)) == [
        Input("x", (3, 16, 16), 7), Input("z", (4, 5, 6), 2),
    ]  # fmt: skip
    assert inputs("input: 'x'", weights, (3, 16, 16)) == [Input("x", (3, 16, 16), 1)]
    assert inputs(fed("Data"), weights, (3, 4, 4)) == [Input("x", (3, 4, 4), 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the network has no input"),
        ("input: 'x'", "shape of the input 'x' is not said"),
        ("layer { type: 'Input' top: 'x' }", "shape of the input 'x' is not said"),
        ("input: 'x' input_dim: [1, 3, 8]", "1 inputs need 4 dims, not 3"),
        ("input: 'x' input_dim: [1, 3, 8, 9] input_shape { dim: 1 }", "are given both"),
        ("input: 'x' input: 'y' input_shape { dim: 1 }", "2 inputs have 1 shapes"),
        ("input: 'x' input: 'x' input_dim: [1, 3, 8, 9, 1, 3, 8, 9]", "'x' is there twice"),
        ("input: 'x' input_dim: [0, 3, 8, 9]", r"impossible shape \[0, 3, 8, 9\]"),
        ("input: 'x' input_dim: [1, 3, -8, 9]", "impossible shape"),
        (f"input: 'x' input_shape {{ dim: 1 dim: {MAX_VALUES + 1} }}", "impossible shape"),
        (f"input: 'x' input_shape {{ dim: {[1] * 33} }}", "impossible shape"),
        (
            "layer { type: 'Input' top: 'x' top: 'y' top: 'z' "
            "input_param { shape { dim: 1 } shape { dim: 1 } } }",
            "3 tops have 2 shapes",
        ),
        (fed("Data"), "shape that the data layer 'd' feeds is not said"),
        (
            fed("Data", "transform_param { crop_size: 8 }", "layer { type: 'ReLU' bottom: 'x' }"),
            "shape that the data layer 'd' feeds is not said",
        ),
    ],
)
def test_inputs_that_are_not_said_or_cannot_be(text: str, said: str, weights: Weights) -> None:
    with pytest.raises(BadInputError, match=said):
        inputs(text, weights)


def test_inputs_at_the_limits(weights: Weights) -> None:
    for text in (f"{{ dim: 5 dim: {MAX_VALUES} }}", f"{{ dim: {[1] * 32} }}"):
        assert inputs(f"input: 'x' input_shape {text}", weights)


def record(name: str = "conv") -> Record:
    return from_text(parse(f"type: 'Convolution' name: '{name}'", "n"), "LayerParameter")


def test_weights_are_taken_in_the_shapes_that_are_asked_for(weights: Weights) -> None:
    weight, bias = weights.take("conv", [(2, 3, 5, 4), (2,)], record())
    assert (weight.shape, bias.shape, weight.dtype) == ((2, 3, 5, 4), (2,), np.float32)
    assert weights.shape_of("conv") == (2, 3, 5, 4)
    assert weights.shape_of("none") == ()


def test_weights_of_double_precision_are_taken_in_fp32(tmp_path: Path) -> None:
    doubles = message(7, dims((2,))) + message(8, np.array([0.5, 0.1], "<f8").tobytes())
    path = tmp_path / "d.caffemodel"
    path.write_bytes(message(100, message(1, "conv") + message(7, doubles)))
    (taken,) = read_weights(path).take("conv", [(2,)], record())
    assert (taken.dtype, taken.tolist()) == (np.float32, [0.5, float(np.float32(0.1))])


@pytest.mark.parametrize(
    ("name", "shapes", "said", "hint"),
    [
        ("none", [(2,)], "'none' has no weights in", "The caffemodel has 'conv'."),
        ("conv", [(2, 3, 5, 4)], "takes 1 blobs of weights and the caffemodel has 2", "bias_term"),
        (
            "conv", [(2, 3, 5, 4), (3,)], "needs blob 1 of 3 and the caffemodel has 2",
            "of the same network",
        ),
        ("conv", [(2, 3, 4, 5), (2,)], "needs blob 0 of 2 x 3 x 4 x 5", "of the same network"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(
    name: str, shapes: list[Shape], said: str, hint: str, weights: Weights
) -> None:
    with pytest.raises(BadInputError, match=said) as caught:
        weights.take(name, shapes, record(name))
    assert hint in caught.value.hint


def test_the_second_layer_of_a_name_is_told_so_and_six_names_are_listed(
    tmp_path: Path, weights: Weights
) -> None:
    with pytest.raises(BadInputError) as caught:
        weights.take("", [(2,)], record())
    assert "second layer of this name" in caught.value.hint
    path = tmp_path / "many.caffemodel"
    for count, listed in ((6, "'a', 'b', 'c', 'd', 'e', 'f'."), (7, "'e', 'f', ….")):
        path.write_bytes(caffemodel({name: [np.ones(1, np.float32)] for name in "abcdefg"[:count]}))
        with pytest.raises(BadInputError) as caught:
            read_weights(path).take("x", [(2,)], record("x"))
        assert caught.value.hint.endswith(listed)


def test_a_file_without_layers_is_no_caffemodel(tmp_path: Path) -> None:
    path = tmp_path / "w.caffemodel"
    path.write_bytes(message(1, "net"))
    with pytest.raises(BadInputError, match="there are no layers in it"):
        read_weights(path)
    path.write_bytes(layer("a", [np.ones(3, np.float32)]) + message(100, number(1, 1)))
    assert read_weights(path).shape_of("a") == (3,)

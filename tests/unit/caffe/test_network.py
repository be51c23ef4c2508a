"""Two files become one network, or one sentence says why not."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.caffe import network as network_module
from lrn_deploy.caffe import read, run, to_ir, to_onnx
from lrn_deploy.errors import BadInputError
from tests.support.caffe_files import caffemodel, compare, deploy, sparse, write

RNG = np.random.default_rng(11)
CONV = [RNG.normal(0, 1, (4, 3, 3, 3)).astype(np.float32), np.ones(4, np.float32)]
BLOBS = {"conv": CONV}
X = RNG.normal(0, 1, (2, 3, 5, 5)).astype(np.float32)
LAYER = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
    "convolution_param { num_output: 4 kernel_size: 3 } }\n"
)
RELU = 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'


def test_a_blob_written_in_place_is_another_value_afterwards(tmp_path: Path) -> None:
    text = deploy(
        (3, 5, 5),
        'layer { name: "m" type: "Power" bottom: "data" top: "minus" power_param { scale: -1 } }'
        'layer { name: "r" type: "ReLU" bottom: "data" top: "data" }'
        'layer { name: "e" type: "Eltwise" bottom: "minus" bottom: "data" top: "y" }',
    )
    wide = X.astype(np.float64)
    compare(tmp_path, text, BLOBS, {"data": X}, np.maximum(wide, 0) - wide)


def test_what_layers_of_one_name_write_in_place_is_numbered(tmp_path: Path) -> None:
    text = deploy((3, 5, 5), RELU.replace("conv", "data") * 3)
    network = read(*write(tmp_path, text, BLOBS))
    assert [layer.outputs for layer in network.layers] == [
        ("data_relu",), ("data_relu_2",), ("data_relu_3",),
    ]  # fmt: skip
    assert network.outputs == {"data_relu_3": (3, 5, 5)}


def test_an_output_that_was_written_in_place_has_the_blob_s_name(tmp_path: Path) -> None:
    network = read(*write(tmp_path, deploy((3, 5, 5), LAYER + RELU), BLOBS))
    assert list(network.outputs) == ["conv"]
    values = run(network, {"data": X}, everything=True)
    assert values["conv"].min() == 0
    assert values["conv_conv"].min() < 0
    assert [value.name for value in to_onnx(network).graph.output] == ["conv"]


def test_the_batch_is_free_and_the_names_are_caffe_s(tmp_path: Path) -> None:
    model = to_onnx(read(*write(tmp_path, deploy((3, 5, 5), LAYER, batch=10), BLOBS)))
    assert model.opset_import[0].version >= 17
    (shape,) = [value.type.tensor_type.shape for value in model.graph.input]
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", 3, 5, 5]
    assert [node.name for node in model.graph.node] == ["conv"]
    assert [tensor.name for tensor in model.graph.initializer] == ["conv/weight", "conv/bias"]


def test_a_literal_batch_in_a_reshape_is_freed_where_it_is_the_input_s(tmp_path: Path) -> None:
    shape = 'layer { name: "s" type: "Reshape" bottom: "data" top: "y" reshape_param { shape %s } }'
    text = deploy((3, 5, 5), shape % "{ dim: 10 dim: 75 }", batch=10)
    compare(tmp_path, text, BLOBS, {"data": X}, X.reshape(2, 75).astype(np.float64))
    text = deploy((3, 5, 5), shape % "{ dim: -1 dim: 75 }", batch=10)
    compare(tmp_path, text, BLOBS, {"data": X}, X.reshape(2, 75).astype(np.float64))
    with pytest.raises(BadInputError, match="the first axis must stay the batch"):
        read(*write(tmp_path, deploy((3, 5, 5), shape % "{ dim: 5 dim: 150 }", batch=10), BLOBS))


def test_a_split_and_an_unchanged_input_can_be_outputs(tmp_path: Path) -> None:
    text = deploy((3, 5, 5), 'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "b" }')
    network = read(*write(tmp_path, text, BLOBS))
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        'input: "data" input_dim: 2 input_dim: 3 input_dim: 5 input_dim: 5\n',
        'input: "data" input_shape { dim: 2 dim: 3 dim: 5 dim: 5 }\n',
        'input: "data" input_shape { dim: [2, 3, 5, 5] }\n',
        'layer { type: "Input" name: "i" top: "data" '
        "input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }\n",
    ],
)
def test_each_way_to_say_the_input(tmp_path: Path, text: str) -> None:
    network = read(*write(tmp_path, text + LAYER, BLOBS))
    assert [(item.name, item.shape, item.batch) for item in network.inputs] == [
        ("data", (3, 5, 5), 2)
    ]


def test_a_given_shape_goes_before_the_text_s(tmp_path: Path) -> None:
    network = read(*write(tmp_path, deploy((3, 5, 5), LAYER), BLOBS), input_shape=(3, 8, 9))
    assert network.outputs == {"conv": (4, 6, 7)}


def test_an_unused_input_is_left_out_and_told(tmp_path: Path) -> None:
    text = deploy((3, 5, 5), 'input: "info" input_shape { dim: 1 dim: 3 }\n' + LAYER)
    network = read(*write(tmp_path, text, BLOBS))
    assert [item.name for item in network.inputs] == ["data"]
    assert "Input 'info' is not used." in network.told


HEAD = deploy((3, 5, 5), "")


@pytest.mark.parametrize(
    ("text", "blobs", "said"),
    [
        (HEAD + LAYER, {"other": CONV}, "has no weights in"),
        (HEAD + LAYER, {"conv": CONV[:1]}, "takes 2 blobs of weights and the caffemodel has 1"),
        (HEAD + LAYER.replace("kernel_size: 3", "kernel_size: 3 bias_term: false"), BLOBS,
         "takes 1 blobs of weights and the caffemodel has 2"),
        (HEAD + LAYER.replace("num_output: 4", "num_output: 5"), BLOBS,
         "needs blob 0 of 5 x 3 x 3 x 3 and the caffemodel has 4 x 3 x 3 x 3"),
        (HEAD + LAYER + LAYER.replace('"data"', '"conv"').replace('top: "conv"', 'top: "two"')
         .replace("kernel_size: 3", "kernel_size: 1"), BLOBS, "has no weights in"),
        (HEAD + LAYER + LAYER, BLOBS, "'conv' is made a second time"),
        (HEAD, BLOBS, "no layers to import"),
        (LAYER, BLOBS, "no input"),
        (HEAD + HEAD, BLOBS, "'name' is given a second time"),
        ('input: "data"\n' + LAYER, BLOBS, "the shape of the input 'data' is not said"),
        ('input: "data" input_dim: 3\n' + LAYER, BLOBS, "1 inputs need 4 dims, not 1"),
        ('input: "data" input_dim: [1, 3, 5, 5] input_shape { dim: 1 }\n' + LAYER, BLOBS, "both"),
        ('input: "data" input_dim: [1, 3, 0, 5]\n' + LAYER, BLOBS, "impossible shape"),
        ('input: "data" input_dim: [1, 9999999, 9999999, 5]\n' + LAYER, BLOBS, "impossible shape"),
        ('input: "data" input: "data" input_dim: [1, 3, 5, 5, 1, 3, 5, 5]\n' + LAYER, BLOBS,
         "is there twice"),
        ('layer { type: "DummyData" top: "data" dummy_data_param { shape { } } }\n' + LAYER, BLOBS,
         "is not said"),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_together(
    tmp_path: Path, text: str, blobs: dict[str, list[np.ndarray]], said: str
) -> None:
    with pytest.raises(BadInputError, match=r"deploy\.prototxt:\d+") as caught:
        read(*write(tmp_path, text, blobs))
    assert said in caught.value.message


def test_swapped_and_missing_files_are_named(tmp_path: Path) -> None:
    prototxt, weights = write(tmp_path, HEAD + LAYER, BLOBS)
    with pytest.raises(BadInputError, match="Give the prototxt first"):
        read(weights, prototxt)
    with pytest.raises(BadInputError, match="Give the prototxt first"):
        read(prototxt, prototxt)
    with pytest.raises(BadInputError, match="Cannot read"):
        read(tmp_path / "none", weights)
    with pytest.raises(BadInputError, match="Cannot read"):
        read(prototxt, tmp_path / "none")


def test_the_second_layer_of_a_name_gets_no_weights_as_in_caffe(tmp_path: Path) -> None:
    second = LAYER.replace('bottom: "data" top: "conv"', 'bottom: "conv" top: "two"')
    with pytest.raises(BadInputError, match="has no weights") as caught:
        read(*write(tmp_path, HEAD + LAYER + second, BLOBS))
    assert "second layer of this name" in caught.value.hint


@pytest.mark.parametrize(
    ("count", "said"), [(10_000, "no layers to import"), (10_001, "has 10,001 layers, more than")]
)
def test_ten_thousand_layers_are_read_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, said: str
) -> None:
    monkeypatch.setattr(network_module, "in_use", lambda layers, *_: layers * count)
    monkeypatch.setattr(network_module._Build, "add", lambda *_: None)  # which would take long
    with pytest.raises(BadInputError, match=said):
        read(*write(tmp_path, HEAD + RELU, BLOBS))


@given(data=st.data())
@settings(max_examples=150)
def test_mutated_texts_are_networks_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = (
        HEAD
        + LAYER
        + RELU
        + (
            'layer { name: "n" type: "LRN" bottom: "conv" top: "n" lrn_param { local_size: 3 } }\n'
            'layer { type: "Pooling" bottom: "n" top: "p" pooling_param { kernel_size: 2 } }\n'
        )
    )
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 12, len(text))))
        put = data.draw(
            st.sampled_from(
                ("", "0", "-1", "9", "99999999999", "{", "}", '"', "data", "type: ", "dim: 3", "\n")
            )
        )
        text = text[:start] + put + text[end:]
    files = write(tmp_path_factory.mktemp("text"), text, BLOBS)
    try:
        network = read(*files)
    except BadInputError:
        return
    if max(np.prod(item.shape) for item in network.inputs) < 1e6:
        onnx.checker.check_model(to_onnx(network), full_check=True)


def test_a_quarter_of_a_gigabyte_becomes_a_graph_without_a_copy(tmp_path: Path) -> None:
    text = deploy(
        (9216,),
        "".join(
            f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
            f"inner_product_param {{ num_output: {size} }} }}\n"
            for name, bottom, size in (
                ("fc6", "data", 4096), ("fc7", "fc6", 4096), ("fc8", "fc7", 2000),
            )
        ),
    )  # fmt: skip
    prototxt, weights = write(tmp_path, text, b"")
    sparse(
        weights,
        {
            "fc6": [(4096, 9216), (4096,)],
            "fc7": [(4096, 4096), (4096,)],
            "fc8": [(2000, 4096), (2000,)],
        },
    )
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    model = to_ir(read(prototxt, weights))
    assert time.perf_counter() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    sizes = [value.const_value.nbytes for value in model.graph.initializers.values()]  # type: ignore[union-attr]
    assert sum(sizes) > 245_000_000


def test_two_reads_give_the_same_bytes(tmp_path: Path) -> None:
    files = write(tmp_path, HEAD + LAYER + RELU, caffemodel(BLOBS))
    first, second = (to_onnx(read(*files)).SerializeToString() for _ in range(2))
    assert first == second

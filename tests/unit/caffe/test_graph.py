"""The graph of a network: what it is called, which names its values have, what it must be fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from lrn_deploy.caffe import CaffeNetwork, read, run, to_onnx
from lrn_deploy.errors import BadInputError
from tests.support.caffe_files import deploy, write

BLOBS = {"c": [np.ones((2, 3, 1, 1), np.float32)]}


def network(folder: Path, layers: str, head: str = "", shape: tuple[int, ...] = (3, 4, 5)) -> (
    CaffeNetwork
):  # fmt: skip
    text = deploy(shape, layers).replace('name: "net" ', head)
    return read(*write(folder, text, BLOBS))


def layer(kind: str, more: str = "", name: str = "a", bottom: str = "data", top: str = "y") -> str:
    bottoms = " ".join(f'bottom: "{one}"' for one in bottom.split())
    tops = " ".join(f'top: "{one}"' for one in top.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {more} }}\n'


def test_a_graph_has_the_networks_name_and_the_versions_that_runtimes_read(tmp_path: Path) -> None:
    model = to_onnx(network(tmp_path, layer("ReLU"), 'name: "My net" '))
    assert model.graph.name == "My net"
    assert (model.ir_version, model.opset_import[0].version) == (10, 18)
    assert model.producer_name == "lrn-deploy"
    assert to_onnx(network(tmp_path, layer("ReLU"))).graph.name == "caffe"


def test_a_layer_of_several_nodes_numbers_them(tmp_path: Path) -> None:
    power = "power_param { power: 2 scale: 3 shift: 1 }"
    graph = to_onnx(network(tmp_path, layer("Power", power))).graph
    assert [node.op_type for node in graph.node] == ["Mul", "Add", "Pow"]
    assert [node.name for node in graph.node] == ["a", "a_2", "a_3"]
    assert [node.output[0] for node in graph.node] == ["a/Mul", "a/Add", "y"]
    assert [one.name for one in graph.initializer] == ["a/scale", "a/shift", "a/power"]


def test_layers_of_one_name_and_of_none_and_blobs_called_like_values(tmp_path: Path) -> None:
    elu = layer("ELU", name="a", top="a/scale") + layer(
        "Power", "power_param { scale: 3 }", name="a", bottom="a/scale", top="z"
    )
    graph = to_onnx(network(tmp_path, elu)).graph
    assert [node.name for node in graph.node] == ["a", "a_2"]
    assert [one.name for one in graph.initializer] == ["a/scale_2"]  # the blob keeps its own
    nameless = to_onnx(network(tmp_path, layer("ReLU", name=""))).graph
    assert [node.name for node in nameless.node] == ["layer"]


def test_one_blob_may_be_joined_alone(tmp_path: Path) -> None:
    made = network(tmp_path, layer("Concat"))
    assert [node.op_type for node in to_onnx(made).graph.node] == ["Concat"]
    assert made.outputs == {"y": (3, 4, 5)}


def test_every_value_has_a_shape_of_any_batch(tmp_path: Path) -> None:
    conv = layer("Convolution", "convolution_param { num_output: 2 kernel_size: 1 bias_term: 0 }",
                 name="c", top="c")  # fmt: skip
    flat = layer("Flatten", bottom="c", top="f", name="f")
    graph = to_onnx(network(tmp_path, conv + flat))
    model = onnx.shape_inference.infer_shapes(graph, strict_mode=True)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    assert shapes["data"] == ["batch", 3, 4, 5]
    assert shapes["c"] == ["batch", 2, 4, 5]
    assert shapes["f"] == ["batch", 40]


def test_what_a_network_is_fed(tmp_path: Path) -> None:
    made = network(tmp_path, layer("ReLU"))
    x = np.array([-1.0, 2.0]).repeat(60).reshape(2, 3, 4, 5)
    assert run(made, {"data": x})["y"].tolist() == np.maximum(x, 0).tolist()
    assert set(run(made, {"data": x}, everything=True)) == {"data", "y"}
    assert set(run(made, {"data": x})) == {"y"}
    with pytest.raises(BadInputError, match="The input 'data' is missing"):
        run(made, {"x": x})
    for shape in ((2, 3, 4), (2, 3, 4, 6), (3, 4, 5), (2, 3, 4, 5, 1)):
        with pytest.raises(BadInputError, match=r"it must be \(N, 3, 4, 5\)"):
            run(made, {"data": np.zeros(shape)})


POOL = "pooling_param {{ pool: {} kernel_size: 2 stride: 2 pad: {} }}"


@pytest.mark.parametrize(
    ("method", "pad", "size", "nodes", "pads"),
    [
        # 4: two windows; 5: a third that hangs over by one.
        ("MAX", 0, (4, 5), ["MaxPool"], [0, 0, 0, 1]),
        ("AVE", 0, (4, 5), ["AveragePool"], [0, 0, 0, 1]),
        # With padding of 1 on both ends 4 has three windows, the last ends within it; 5 has three.
        ("MAX", 1, (4, 5), ["MaxPool"], [1, 1, 1, 0]),
        ("AVE", 1, (4, 5), ["Pad", "AveragePool"], [0, 0, 0, 0]),
    ],
)
def test_what_hangs_over_the_end_is_padding_that_is_not_counted(
    tmp_path: Path, method: str, pad: int, size: tuple[int, int], nodes: list[str], pads: list[int]
) -> None:
    made = network(tmp_path, layer("Pooling", POOL.format(method, pad)), shape=(3, *size))
    graph = to_onnx(made).graph
    assert [node.op_type for node in graph.node] == nodes
    found = {item.name: onnx.helper.get_attribute_value(item) for item in graph.node[-1].attribute}
    assert list(found["pads"]) == pads
    assert list(found["kernel_shape"]) == list(found["strides"]) == [2, 2]
    assert found.get("count_include_pad", 0) == 0


def test_lrn_within_a_channel_is_written_out_around_its_square(tmp_path: Path) -> None:
    lrn = "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL alpha: 2 beta: 0.5 }"
    graph = to_onnx(network(tmp_path, layer("LRN", lrn))).graph
    assert [node.op_type for node in graph.node] == [
        "Mul", "Pad", "AveragePool", "Mul", "Add", "Pow", "Div",
    ]  # fmt: skip
    numbers = {one.name: onnx.numpy_helper.to_array(one).tolist() for one in graph.initializer}
    assert numbers == {
        "a/pads": [0, 0, 1, 1, 0, 0, 1, 1], "a/alpha": 2.0, "a/k": 1.0, "a/beta": 0.5,
    }  # fmt: skip


def test_a_value_that_no_node_made_leaves_through_one(tmp_path: Path) -> None:
    graph = to_onnx(network(tmp_path, layer("Split", top="a b"))).graph
    assert [(node.op_type, node.name, *node.output) for node in graph.node] == [
        ("Identity", "a", "a"), ("Identity", "b", "b"),
    ]  # fmt: skip
    assert [value.name for value in graph.output] == ["a", "b"]

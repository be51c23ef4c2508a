"""Files that are no networks, or none that is imported: a sentence each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files import read, reading
from lrn_deploy.onnx_files.inputs import drop_unused_weights
from lrn_deploy.onnx_files.reading import read_file
from tests.support.onnx_graphs import model, node, save, zoo

Model = onnx.ModelProto


def relu() -> Model:
    return model([node("Relu", "x", "y")], {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})


def refused(tmp_path: Path, made: Model | bytes) -> str:
    path = tmp_path / "net.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    with pytest.raises(BadInputError) as caught:
        read(path)
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no ONNX graph"),
        (b"hello, this is text", "no ONNX model"),
        (b"\0" * 64, "no ONNX model"),
        (Model(ir_version=8).SerializeToString(), "holds no ONNX graph"),
        (zoo(9).SerializeToString()[:-9], "only a part of one"),
        (zoo(9).SerializeToString()[:2000], "only a part of one"),
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refused(tmp_path, data)


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    data = zoo(9).SerializeToString()
    for name in (b"relu1", b"fc1", b"w1"):
        assert "a name in it is no text" in refused(
            tmp_path, data.replace(name, b"\xff" * len(name))
        )


def test_a_remark_that_is_no_text_is_told(tmp_path: Path) -> None:
    made = zoo(9)
    made.graph.initializer[0].doc_string = "remark"
    data = made.SerializeToString().replace(b"remark", b"\xff" * 6)
    assert "a name in it is no text" in refused(tmp_path, data)


def test_a_file_that_cannot_be_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "none.onnx", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "pipe", "is no file"),
        (tmp_path / "a\0b", "cannot be read: embedded null byte"),
    ):
        with pytest.raises(BadInputError, match=said):
            read(path)
    big = tmp_path / "big.onnx"
    with big.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(BadInputError, match="larger than 2 GiB"):
        read(big)
    path = save(tmp_path, relu())
    monkeypatch.setattr(reading, "LIMIT", path.stat().st_size)
    assert read_file(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(reading, "LIMIT", path.stat().st_size - 1)
    with pytest.raises(BadInputError, match="larger than 2 GiB"):
        read_file(path)


def change(made: Model, edit: Callable[[Model], object]) -> Model:
    edit(made)
    return made


def circle(made: Model) -> None:
    made.graph.node[0].input[0] = "z"
    made.graph.node.append(node("Relu", "y", "z"))


def quantized(made: Model) -> None:
    made.graph.node[0].op_type = "DynamicQuantizeLinear"


def of_text(made: Model) -> None:
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def sequence(made: Model) -> None:
    made.graph.output[0].CopyFrom(
        helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    )


def custom(made: Model) -> None:
    made.graph.node[0].domain = "com.acme"


def recursive(made: Model) -> None:
    made.graph.node[0].domain, made.graph.node[0].op_type = "own", "f"
    body = helper.make_node("f", ["x"], ["y"], domain="own")
    made.functions.append(
        helper.make_function("own", "f", ["x"], ["y"], [body], [helper.make_opsetid("own", 1)])
    )
    made.opset_import.append(helper.make_opsetid("own", 1))


def laughing(made: Model) -> None:
    """Functions that call one another ten times each: 10**12 nodes in a kilobyte."""
    made.graph.node[0].domain, made.graph.node[0].op_type = "own", "f12"
    stamps = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
    for at in range(13):
        kind, domain = (f"f{at - 1}", "own") if at else ("Relu", "")
        names = ["x", *(f"v{step}" for step in range(9)), "y"]
        nodes = [helper.make_node(kind, [a], [b], domain=domain) for a, b in pairwise(names)]
        made.functions.append(helper.make_function("own", f"f{at}", ["x"], ["y"], nodes, stamps))
    made.opset_import.append(helper.make_opsetid("own", 1))


def loop(made: Model) -> None:
    made.graph.node[0].op_type = "Loop"


def twice(made: Model) -> None:
    made.graph.node.append(node("Neg", "x", "y"))


def split(made: Model) -> None:
    made.graph.node[0].op_type = "SplitToSequence"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (circle, "goes in a circle"),
        (custom, "custom operator, of the domain 'com.acme'"),
        (quantized, "quantized"),
        (of_text, "of the type STRING"),
        (sequence, "no tensor (sequence)"),
        (split, "works on sequences"),
        (loop, "is a loop"),
        (recursive, "'f' of the file calls itself"),
        (laughing, "more than 200000 nodes"),
        (twice, "'y' is made twice"),
        (lambda m: setattr(m.graph.node[0], "op_type", "Rleu"), "Rleu 'y_node' is no operator"),
        (lambda m: setattr(m.graph.node[0], "op_type", "RandomNormalLike"), "is random"),
        (lambda m: setattr(m.opset_import[0], "version", 99), "of opset 99"),
        (lambda m: m.graph.node[0].input.__setitem__(0, "gone"), "'gone', which nothing makes"),
        (lambda m: m.graph.ClearField("output"), "has no output"),
        (lambda m: m.graph.ClearField("input"), "'x', which nothing makes"),
        (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), "no axes that are known"),
        (lambda m: m.graph.node[0].input.append("x"), "fits no other opset either"),
    ],
)
def test_what_is_not_imported_is_named(
    tmp_path: Path, edit: Callable[[Model], object], said: str
) -> None:
    assert said in refused(tmp_path, change(relu(), edit))


def test_weights_that_do_not_hold_what_they_say_are_told(tmp_path: Path) -> None:
    for field, value in (("dims", [3, 5]), ("dims", [2**40]), ("dims", [-1]), ("raw_data", b"abc")):
        made = zoo(9)
        tensor = made.graph.initializer[0]
        if field == "dims":
            tensor.dims[:] = value
        else:
            tensor.raw_data = value
        assert "weight 'w1' does not hold" in refused(tmp_path, made)


def test_the_numbers_of_small_and_large_weights_are_counted(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], {"x": [1, 3]}, {"y": [1, 3]})
    for name, shape in (("small", (32, 32)), ("large", (1025, 1)), ("one", ())):
        made.graph.initializer.append(
            onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
        )
    file = read_file(save(tmp_path, made))
    assert list(file.weights) == ["large"]  # 4096 bytes are still small
    assert file.parameters == 1024 + 1025 + 1


def test_a_part_of_a_weight_is_none(tmp_path: Path) -> None:
    made = zoo(9)
    made.graph.initializer[0].segment.begin = 3
    assert "The weight 'w1' holds no numbers" in refused(tmp_path, made)


def test_a_weight_of_no_numbers_is_one(tmp_path: Path) -> None:
    made = model([node("Concat", "x none", "y", axis=1)], {"x": [1, 3]}, {"y": [1, 3]})
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 0), "f4"), "none"))
    assert read(save(tmp_path, made)).model.graph.initializers["none"].shape == (1, 0)


def test_nodes_out_of_order_are_sorted_and_what_leads_nowhere_is_left_out(tmp_path: Path) -> None:
    made = zoo(9)
    nodes = list(made.graph.node)[::-1]
    copies = [onnx.NodeProto.FromString(item.SerializeToString()) for item in nodes]
    del made.graph.node[:]
    made.graph.node.extend([node("Loop", "data", "nowhere"), *copies])
    network = read(save(tmp_path, made))
    assert [item.op_type for item in network.model.graph] == [
        item.op_type for item in copies[::-1] if item.op_type != "Dropout"
    ]
    assert "1 nodes that lead to no output were left out." in network.told


def test_nodes_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    made = model(
        [node("Relu", "x", "a"), node("Neg", "a", "y"), node("Relu", "a", "z")],
        {"x": [1, 3]},
        {"y": [1, 3], "z": [1, 3]},
    )
    for item in made.graph.node:
        item.name = "same"
    names = [item.name for item in read(save(tmp_path, made)).model.graph]
    assert names == ["same_a", "same_y", "same_z"]


def test_weights_that_are_used_are_there_once_and_as_they_were() -> None:
    graph = zoo(9).graph
    kept = [tensor for tensor in graph.initializer if not tensor.name.startswith("unused")]
    wanted = [(tensor.name, tensor.SerializeToString()) for tensor in kept]
    sizes, large = drop_unused_weights(graph, {"w2": np.zeros(3, "f4"), "y": np.zeros(5, "f4")})
    assert [(one.name, one.SerializeToString()) for one in graph.initializer] == wanted
    assert sizes["y"] == 20
    assert list(large) == ["w2"]


def test_one_weight_without_use_is_told_with_its_size(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y")], {"x": [1, 3]}, {"y": [1, 3]})
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(50_000, "f4"), "queue"))
    told = read(save(tmp_path, made)).told
    assert "The weight 'queue', which nothing uses, was left out (0.2 MB)." in told


def test_a_weight_without_use_is_left_out_and_told(tmp_path: Path) -> None:
    made = zoo(9)
    made.graph.initializer.add().CopyFrom(
        onnx.numpy_helper.from_array(np.zeros(250_000, np.float32), "blobs_queue")
    )
    network = read(save(tmp_path, made))
    assert "2 weights that nothing uses, 'unused' first, were left out (1.0 MB)." in network.told
    assert set(network.model.graph.initializers) == {
        "w1", "b1", "scale", "shift", "mean", "var", "w2", "bias", "fc", "fb",
        "flat_shape_of_any_batch",
    }  # fmt: skip
    assert [value.name for value in network.model.graph.inputs] == ["data"]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (None, "is of any size: [3, h, w] without the batch"),
        ((3, 4), "does not fit the input 'x' of shape [3, h, w]"),
        ((1, 4, 4), "does not fit"),
    ],
)
def test_sizes_that_are_open_must_be_said(
    tmp_path: Path, shape: tuple[int, ...] | None, said: str
) -> None:
    made = model([node("Relu", "x", "y")], {"x": ["n", 3, "h", "w"]}, {"y": ["n", 3, "h", "w"]})
    path = save(tmp_path, made)
    with pytest.raises(BadInputError, match=r"\[3, h, w\]") as caught:
        read(path, shape)
    assert said in caught.value.message
    graph = read(path, (3, 4, 5)).model.graph
    assert str(graph.outputs[0].shape) == "[batch,3,4,5]"

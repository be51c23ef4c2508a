"""Weights beside a model: read where they may be, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.external import ExternalFiles
from lrn_deploy.onnx_files.reading import read_file
from tests.support.onnx_graphs import model, node, save

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)
SECRET = b"\0" * 400


def beside(**entries: str) -> onnx.ModelProto:
    """A model whose only weight is said to lie in another file."""
    made = model([node("Add", "x w", "y")], {"x": [3, 4]}, {"y": [3, 4]}, {"w": VALUES})
    (tensor,) = made.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, with weights in it and something else beside it."""
    path = tmp_path / "model"
    (path / "sub").mkdir(parents=True)
    (path / "w.bin").write_bytes(b"\xff" * 8 + VALUES.tobytes())
    (path / "sub" / "w.bin").write_bytes(VALUES.tobytes())
    (tmp_path / "secret").write_bytes(SECRET)
    return path


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "w.bin", "offset": "8", "length": "48"},
        {"location": "w.bin", "offset": "8"},
        {"location": "sub/w.bin"},
        {"location": "./sub/w.bin", "checksum": "whatever"},
    ],
)
def test_weights_in_the_models_folder_are_read(folder: Path, entries: dict[str, str]) -> None:
    file = read_file(save(folder, beside(**entries)))
    (tensor,) = file.whole().graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), VALUES)


def test_the_digest_is_also_of_the_weights_beside_the_file(folder: Path) -> None:
    path = save(folder, beside(location="sub/w.bin"))
    before = read_file(path)
    (folder / "sub" / "w.bin").write_bytes(VALUES.tobytes()[::-1])
    after = read_file(path)
    assert before.sha256 == after.sha256 != before.weights_sha256 != after.weights_sha256


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"location": "../secret"}, "outside the model's folder"),
        ({"location": "sub/../../secret"}, "outside the model's folder"),
        ({"location": "/etc/passwd"}, "outside the model's folder"),
        ({"location": "..\\secret"}, "outside the model's folder"),
        ({"location": "w.bin\0"}, "outside the model's folder"),
        ({"location": ""}, "outside the model's folder"),
        ({}, "outside the model's folder"),
        ({"location": "none.bin"}, "cannot be read: no such file"),
        ({"location": "long" * 100}, "cannot be read: file name too long"),
        ({"location": "sub"}, "is no file"),
        ({"location": "pipe"}, "is no file"),
        ({"location": "pipe/w.bin"}, "cannot be read: not a directory"),
        ({"location": "empty"}, "is empty"),
        ({"location": "w.bin", "offset": "9"}, "ends at byte 57 of a file of 56 bytes"),
        ({"location": "w.bin", "offset": "-8"}, "has the offset '-8'"),
        ({"location": "w.bin", "offset": "9" * 30}, "has the offset"),
        ({"location": "w.bin", "length": "40"}, "takes 48 bytes and is said to have 40"),
        ({"location": "w.bin", "length": "1_0"}, "has the length '1_0'"),
        ({"location": "w.bin", "__class__": "x"}, "has an entry '__class__'"),
        ({"location": "w.bin", "basepath": "/"}, "has an entry 'basepath'"),
    ],
)
def test_what_is_not_there_or_not_allowed_is_refused(
    folder: Path, entries: dict[str, str], said: str
) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "empty").touch()
    with pytest.raises(BadInputError, match="weight 'w'") as caught:
        read_file(save(folder, beside(**entries)))
    assert said in caught.value.message
    assert caught.value.hint


def test_a_weight_without_numbers_needs_no_file(folder: Path) -> None:
    made = beside(location="none.bin")
    made.graph.initializer[0].dims[:] = [0, 4]
    (tensor,) = read_file(save(folder, made)).whole().graph.initializer
    assert list(tensor.dims) == [0, 4]


@pytest.mark.parametrize(
    "link",
    [
        lambda folder: (folder / "l").symlink_to(folder.parent / "secret"),
        lambda folder: (folder / "l").symlink_to(folder / "w.bin"),
        lambda folder: (folder / "l").hardlink_to(folder.parent / "secret"),
    ],
)
def test_no_link_is_followed(folder: Path, link: Callable[[Path], None]) -> None:
    link(folder)
    with pytest.raises(BadInputError, match="'l', which is a link") as caught:
        read_file(save(folder, beside(location="l")))
    assert "cp -rL" in caught.value.hint


def test_a_folder_that_is_gone_is_told(folder: Path) -> None:
    tensor = beside(location="w.bin").graph.initializer[0]
    with pytest.raises(BadInputError, match="cannot be read: no such file"):
        ExternalFiles(folder / "gone").read(tensor)


def test_no_folder_that_is_a_link_is_followed(folder: Path) -> None:
    (folder / "l").symlink_to(folder.parent)
    with pytest.raises(BadInputError, match="which is a link"):
        read_file(save(folder, beside(location="l/secret")))


def test_many_weights_of_one_small_file_are_not_more_than_a_file_holds(folder: Path) -> None:
    made = beside(location="sparse")
    with (folder / "sparse").open("wb") as file:
        file.truncate(2**30)
    (tensor,) = made.graph.initializer
    tensor.dims[:] = [2**28]
    for at in range(3):
        made.graph.initializer.add().CopyFrom(tensor)
        made.graph.initializer[-1].name = f"w{at}"
    with pytest.raises(BadInputError, match="larger than 2 GiB"):
        read_file(save(folder, made))


def test_a_tensor_in_a_node_may_lie_beside_the_file_too(folder: Path) -> None:
    made = beside(location="sub/w.bin")
    constant = onnx.helper.make_node("Constant", [], ["w"], value=made.graph.initializer[0])
    del made.graph.initializer[:]
    made.graph.node.insert(0, constant)
    file = read_file(save(folder, made))
    np.testing.assert_array_equal(
        onnx.numpy_helper.to_array(file.model.graph.node[0].attribute[0].t), VALUES
    )
    constant.attribute[0].t.external_data[0].value = "../secret"
    made.graph.node[0].CopyFrom(constant)
    with pytest.raises(BadInputError, match="outside the model's folder"):
        read_file(save(folder, made))


def in_a_branch(made: onnx.ModelProto, kind: str) -> onnx.ModelProto:
    """The same with the weight inside an If: an initialiser, an attribute, or nested."""
    tensor = made.graph.initializer[0]
    values = onnx.helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4])
    nodes, tensors = [], [tensor]
    if kind != "initialiser":
        nodes, tensors = [onnx.helper.make_node("Constant", [], ["w"], value=tensor)], []
    inner = onnx.helper.make_graph(nodes, "inner", [], [values], tensors)
    if kind == "nested":
        again = onnx.helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner)
        inner = onnx.helper.make_graph([again], "outer", [], [values])
    choice = onnx.helper.make_node("If", ["c"], ["v"], then_branch=inner, else_branch=inner)
    del made.graph.initializer[:]
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "c"))
    made.graph.node.insert(0, choice)
    made.graph.node[1].input[1] = "v"
    return made


@pytest.mark.parametrize("kind", ["initialiser", "attribute", "nested"])
def test_weights_inside_a_branch_lie_in_the_models_folder_too(folder: Path, kind: str) -> None:
    file = read_file(save(folder, in_a_branch(beside(location="sub/w.bin"), kind)))
    assert b"external_data" not in file.model.SerializeToString()
    assert file.model.SerializeToString().count(VALUES.tobytes()) == 2 * (1 + (kind == "nested"))
    with pytest.raises(BadInputError, match="outside the model's folder"):
        read_file(save(folder, in_a_branch(beside(location="../secret"), kind)))


def test_weights_inside_a_function_lie_in_the_models_folder_too(folder: Path) -> None:
    for location, fits in (("sub/w.bin", True), ("../secret", False)):
        made = beside(location=location)
        constant = onnx.helper.make_node("Constant", [], ["w"], value=made.graph.initializer[0])
        del made.graph.initializer[:]
        stamps = [onnx.helper.make_opsetid("", 18)]
        add = node("Add", "x w", "y")
        made.functions.append(
            onnx.helper.make_function("own", "f", ["x"], ["y"], [constant, add], stamps)
        )
        made.graph.node[0].CopyFrom(onnx.helper.make_node("f", ["x"], ["y"], domain="own"))
        path = save(folder, made)
        with nullcontext() if fits else pytest.raises(BadInputError, match="outside the model"):
            (tensor,) = (one.t for one in read_file(path).model.functions[0].node[0].attribute)
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), VALUES)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TensorProto.FLOAT, np.array([1.5, -2], "<f4")),
        (TensorProto.DOUBLE, np.array([1.5, -2], "<f8")),
        (TensorProto.FLOAT16, np.array([1.5, -2], "<f2")),
        (TensorProto.INT8, np.array([1, -2], "i1")),
        (TensorProto.UINT8, np.array([1, 254], "u1")),
        (TensorProto.INT16, np.array([1, -2], "<i2")),
        (TensorProto.INT32, np.array([1, -2], "<i4")),
        (TensorProto.INT64, np.array([1, -2], "<i8")),
        (TensorProto.BOOL, np.array([True, False])),
    ],
)
def test_numbers_of_each_type_are_read(folder: Path, kind: int, values: np.ndarray) -> None:
    (folder / "w.bin").write_bytes(values.tobytes())
    tensor = beside(location="w.bin").graph.initializer[0]
    tensor.data_type, tensor.dims[:] = kind, [2]
    read = ExternalFiles(folder).read(tensor)
    assert (read.dtype, read.tolist()) == (values.dtype, values.tolist())
    tensor.data_type = TensorProto.STRING
    with pytest.raises(BadInputError, match="is of a type that is not read"):
        ExternalFiles(folder).read(tensor)


def test_weights_and_their_file_hold_as_much_as_one_onnx_file(folder: Path) -> None:
    tensor = beside(location="sparse").graph.initializer[0]
    tensor.data_type, tensor.dims[:] = TensorProto.INT8, [2**31 - 1]
    with (folder / "sparse").open("wb") as file:
        file.truncate(2**31 - 1)
    files = ExternalFiles(folder)
    assert files.read(tensor).size == 2**31 - 1
    tensor.dims[:] = [1]
    with pytest.raises(BadInputError, match="The network is larger than 2 GiB"):
        files.read(tensor)
    os.truncate(folder / "sparse", 2**31)
    with pytest.raises(BadInputError, match="'sparse' is larger than 2 GiB"):
        ExternalFiles(folder).read(tensor)


def test_an_offset_has_18_digits_at_most(folder: Path) -> None:
    np.testing.assert_array_equal(
        ExternalFiles(folder).read(
            beside(location="w.bin", offset="8".zfill(18)).graph.initializer[0]
        ),
        VALUES,
    )
    with pytest.raises(BadInputError, match="has the offset"):
        ExternalFiles(folder).read(
            beside(location="w.bin", offset="8".zfill(19)).graph.initializer[0]
        )

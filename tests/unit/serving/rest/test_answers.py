"""Answers of an inference as bytes, of REST and of gRPC, worked out by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.grpc import codec as grpc_codec
from lrn_deploy.serving.inference import InferRequest, OutputForm, Place
from lrn_deploy.serving.protocol import shared_memory
from lrn_deploy.serving.protocol.shared_memory import SharedMemory
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.rest import codec

SPECS = tuple(
    TensorSpec(name=name, dtype=dtype, shape=("batch", 2))
    for name, dtype in (("p", "float32"), ("q", "uint8"))
)
MODEL = cast(ServedModel, SimpleNamespace(name="m", outputs=SPECS, labels=("cat", "dog")))
ARRAYS: dict[str, Any] = {
    "p": np.array([[1.5, -2.0]], np.float32),
    "q": np.array([[7, 9]], np.uint8),
}
P = {"name": "p", "datatype": "FP32", "shape": [1, 2]}
Q = {"name": "q", "datatype": "UINT8", "shape": [1, 2]}


def answer(*outputs: OutputForm, memory: SharedMemory = shared_memory.OFF, **asked: Any) -> Any:
    return codec.encode(InferRequest({}, outputs, **asked), MODEL, ARRAYS, memory)


def test_all_outputs_as_json() -> None:
    response = answer(id="7")
    assert (response.status, response.headers) == (200, (("content-type", "application/json"),))
    assert json.loads(response.body) == {
        "id": "7",
        "model_name": "m",
        "model_version": "1",
        "outputs": [P | {"data": [1.5, -2.0]}, Q | {"data": [7, 9]}],
    }
    assert "id" not in json.loads(answer().body)


def test_binary_outputs_follow_the_json_in_its_order() -> None:
    response = answer(OutputForm("q", True), OutputForm("p", True))
    headers = dict(response.headers)
    assert response.status == 200
    assert headers["content-type"] == "application/octet-stream"
    length = int(headers["inference-header-content-length"])
    assert json.loads(response.body[:length])["outputs"] == [
        Q | {"parameters": {"binary_data_size": 2}},
        P | {"parameters": {"binary_data_size": 8}},
    ]
    assert response.body[length:] == b"\x07\x09" + struct.pack("<2f", 1.5, -2.0)
    both = answer(OutputForm("p"), OutputForm("q", True))
    length = int(dict(both.headers)["inference-header-content-length"])
    assert json.loads(both.body[:length])["outputs"][0] == P | {"data": [1.5, -2.0]}
    assert both.body[length:] == b"\x07\x09"


def test_classes_instead_of_scores() -> None:
    (listed,) = json.loads(answer(OutputForm("p", classes=1)).body)["outputs"]
    assert listed == {
        "name": "p", "datatype": "BYTES", "shape": [1, 1], "data": ["1.500000:0:cat"],
    }  # fmt: skip
    packed = answer(OutputForm("p", True, 2))
    length = int(dict(packed.headers)["inference-header-content-length"])
    assert packed.body[length:] == (b"\x0e\0\0\x001.500000:0:cat" + b"\x0f\0\0\0-2.000000:1:dog")


def test_what_json_does_not_know_is_no_answer() -> None:
    for value in (np.nan, np.inf):
        arrays = ARRAYS | {"p": np.array([[1.0, value]], np.float32)}
        with pytest.raises(InvalidRequestError, match="NaN or infinity"):
            codec.encode(InferRequest({}), MODEL, arrays)
        codec.encode(InferRequest({}, binary=True), MODEL, arrays)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SharedMemory:
    monkeypatch.setattr(shared_memory, "_FOLDER", tmp_path)
    (tmp_path / "ours").write_bytes(bytes(20))
    regions = SharedMemory(enabled=True)
    regions.register("r", "/ours", 4, 16)
    return regions


def test_an_output_in_shared_memory_is_there_and_not_in_the_answer(
    memory: SharedMemory, tmp_path: Path
) -> None:
    response = answer(OutputForm("p", place=Place("r", 2, 9)), OutputForm("q"), memory=memory)
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 9, "shared_memory_offset": 2}
    assert json.loads(response.body)["outputs"] == [P | {"parameters": place}, Q | {"data": [7, 9]}]
    assert (tmp_path / "ours").read_bytes()[6:14] == struct.pack("<2f", 1.5, -2.0)
    exact = answer(OutputForm("p", place=Place("r", 0, 8)), memory=memory)
    assert "shared_memory_offset" not in json.loads(exact.body)["outputs"][0]["parameters"]
    with pytest.raises(InvalidRequestError, match="has 8 bytes, shared_memory_byte_size is 7"):
        answer(OutputForm("p", place=Place("r", 0, 7)), memory=memory)
    memory.unregister()


def test_a_place_lies_within_its_region_to_the_byte(memory: SharedMemory) -> None:
    memory.check([None, Place("r", 0, 16), Place("r", 16, 0)])
    for place in (Place("r", 0, 17), Place("r", 1, 16), Place("s", 0, 1)):
        with pytest.raises(InvalidRequestError, match=r"do not lie within|no shared memory region"):
            memory.check([place])
    with pytest.raises(InvalidRequestError, match="takes 8 bytes"):
        memory.read(Place("r", 0, 9), 8, "x")
    assert memory.status("r") == [{"name": "r", "key": "/ours", "offset": 4, "byte_size": 16}]
    memory.unregister("s")  # which is not there
    memory.unregister()


def test_gruesome_keys_open_nothing(memory: SharedMemory) -> None:
    for key in ("", "/", "//ours", "a/b", ".", "..", "/..", "a\0b"):
        with pytest.raises(InvalidRequestError, match="is no name of a shared memory object"):
            memory.register("k", key, 0, 1)
    with pytest.raises(InvalidRequestError, match="cannot be opened"):
        memory.register("k", "/none", 0, 1)
    with pytest.raises(InvalidRequestError, match="Shared memory is switched off"):
        shared_memory.OFF.check([Place("r", 0, 1)])
    memory.unregister()


def test_grpcs_answer_is_raw_and_outputs_elsewhere_keep_their_place(memory: SharedMemory) -> None:
    forms = (OutputForm("p", place=Place("r", 2, 9)), OutputForm("q", True))
    response = grpc_codec.encode(InferRequest({}, forms, id="7"), MODEL, ARRAYS, memory)
    assert (response.model_name, response.model_version, response.id) == ("m", "1", "7")
    first, second = response.outputs
    assert (first.name, first.datatype, list(first.shape)) == ("p", "FP32", [1, 2])
    assert first.parameters["shared_memory_region"].string_param == "r"
    assert first.parameters["shared_memory_offset"].int64_param == 2
    assert first.parameters["shared_memory_byte_size"].int64_param == 9
    assert not second.parameters
    assert list(response.raw_output_contents) == [b"", b"\x07\x09"]
    memory.unregister()


def test_grpcs_inputs_lie_in_shared_memory_or_beside_each_other(
    memory: SharedMemory, tmp_path: Path
) -> None:
    (tmp_path / "ours").write_bytes(bytes(6) + struct.pack("<2f", 1.5, -2.0) + bytes(6))
    message = grpc_codec.service_pb2.ModelInferRequest()
    for name, datatype in (("a", "UINT8"), ("p", "FP32"), ("z", "UINT8")):
        message.inputs.add(name=name, datatype=datatype, shape=[1, 2])
    place = message.inputs[1].parameters
    place["shared_memory_region"].string_param = "r"
    place["shared_memory_offset"].int64_param = 2
    place["shared_memory_byte_size"].int64_param = 8
    message.raw_input_contents.extend([b"\1\2", b"\3\4"])
    found = grpc_codec.decode(message, memory).inputs
    assert {name: array.tolist() for name, array in found.items()} == {
        "a": [[1, 2]], "p": [[1.5, -2.0]], "z": [[3, 4]],
    }  # fmt: skip
    wanted = message.outputs.add(name="q").parameters
    wanted["shared_memory_region"].string_param = "r"
    wanted["shared_memory_byte_size"].int64_param = 17
    with pytest.raises(InvalidRequestError, match="do not lie within"):
        grpc_codec.decode(message, memory)
    memory.unregister()


def test_grpcs_request_says_what_rests_says() -> None:
    message = grpc_codec.service_pb2.ModelInferRequest(id="7")
    message.parameters["timeout"].int64_param = 5
    message.parameters["priority"].int64_param = 3
    message.parameters["own"].Clear()  # there, and nothing
    message.outputs.add(name="p").parameters["classification"].int64_param = 2
    message.outputs.add(name="q").parameters["binary_data"].bool_param = False
    asked = grpc_codec.decode(message)
    assert (asked.id, asked.timeout_us, asked.priority, asked.binary) == ("7", 5, 3, True)
    assert asked.outputs == (OutputForm("p", True, 2), OutputForm("q", False))
    message.outputs.add(name="p")
    with pytest.raises(InvalidRequestError, match="requested twice"):
        grpc_codec.decode(message)


@pytest.mark.parametrize(
    ("datatype", "place", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 65535]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-32768, 32767]),
        ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("FP32", "fp32_contents", [1.5, -2.0]),
        ("FP64", "fp64_contents", [1e300, -2.0]),
    ],
)
def test_each_type_has_its_place_in_grpcs_contents(
    datatype: str, place: str, values: list[Any]
) -> None:
    message = grpc_codec.service_pb2.ModelInferRequest()
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[2, 1])
    getattr(tensor.contents, place).extend(values)
    assert grpc_codec.decode(message).inputs["x"].ravel().tolist() == values


@pytest.mark.parametrize("data", [[0, 2**64 - 1], [[2**63 + 1], [1]]])
def test_whole_numbers_of_64_bits_come_as_they_were_sent(data: list[Any]) -> None:
    """Taken for floats, they would lose their last digits."""
    tensor = {"name": "x", "datatype": "UINT64", "shape": [2, 1], "data": data}
    asked = codec.decode(json.dumps({"inputs": [tensor]}).encode(), None, SPECS)
    assert asked.inputs["x"].ravel().tolist() == np.array(data, object).ravel().tolist()


@pytest.mark.parametrize("data", [[0, 2**64], [-1, 2**63], [0.5, 2**63], [True, 2**63 + 1.0]])
def test_what_is_beyond_64_bits_is_refused(data: list[Any]) -> None:
    tensor = {"name": "x", "datatype": "UINT64", "shape": [2, 1], "data": data}
    with pytest.raises(InvalidRequestError, match=r"other values|cannot hold"):
        codec.decode(json.dumps({"inputs": [tensor]}).encode(), None, SPECS)


def test_a_tensor_may_have_an_axis_without_length_and_none_below() -> None:
    message = grpc_codec.service_pb2.ModelInferRequest()
    message.inputs.add(name="x", datatype="UINT8", shape=[0, 2])
    message.raw_input_contents.append(b"")
    assert grpc_codec.decode(message).inputs["x"].shape == (0, 2)
    message.inputs[0].shape[:] = [-1, 2]
    with pytest.raises(InvalidRequestError, match="negative axis"):
        grpc_codec.decode(message)

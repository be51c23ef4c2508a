"""Inference requests and answers as bytes, traps of the protocol included."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import OutputForm
from lrn_deploy.serving.rest import codec as wire

SPECS = (TensorSpec(name="x", dtype="float32", shape=("batch", 2)),)
ROW = struct.pack("<2f", 1.5, -2)


def body(*, tail: bytes = b"", **changes: Any) -> tuple[bytes, str]:
    """A request for x of shape (1, 2), with changes to its input, and its header length."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2]} | changes
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + tail, str(len(head))


def array(content: bytes, length: str | None = None) -> Any:
    return wire.decode(content, length, SPECS).inputs["x"]


@pytest.mark.parametrize("data", [[1.5, -2], [[1.5, -2]], [[[1.5], [-2.0]]]])
def test_json_data_may_be_nested_or_flat(data: list[Any]) -> None:
    content, _ = body(data=data)
    found = array(content)
    assert found.dtype == np.float32
    assert found.tolist() == [[1.5, -2]]


def test_binary_tensors_follow_the_json_in_its_order() -> None:
    inputs = [
        {"name": name, "datatype": "UINT8", "shape": [2], "parameters": {"binary_data_size": 2}}
        for name in ("b", "a")
    ]
    head = json.dumps({"inputs": inputs}).encode()
    message = wire.decode(head + b"\1\2\3\4", str(len(head)), SPECS)
    assert {name: value.tolist() for name, value in message.inputs.items()} == {
        "b": [1, 2],
        "a": [3, 4],
    }


def test_a_raw_request_is_a_batch_of_one_with_binary_outputs() -> None:
    message = wire.decode(ROW, "0", SPECS)
    assert message.inputs["x"].tolist() == [[1.5, -2]]
    assert message.binary


def test_a_raw_request_may_have_one_free_axis() -> None:
    free = (TensorSpec(name="x", dtype="float32", shape=("batch", "length", 2)),)
    assert wire.decode(ROW * 3, "0", free).inputs["x"].shape == (1, 3, 2)
    with pytest.raises(InvalidRequestError, match="8 bytes or a multiple"):
        wire.decode(ROW + b"1", "0", free)


@pytest.mark.parametrize(
    ("changes", "tail", "length", "said"),
    [
        ({}, b"", None, "'data' is missing"),
        ({"data": [1]}, b"", None, r"shape \[1, 2\] takes 2 elements, got 1"),
        ({"data": [1, "a"]}, b"", None, "has other values"),
        ({"data": [[1], [2, 3]]}, b"", None, "ragged"),
        ({"data": [1, True]}, b"", None, None),  # numpy takes True for 1; Triton too
        ({"data": [1, 2], "datatype": "FP8"}, b"", None, "datatype 'FP8'; supported are BOOL"),
        ({"data": [1, 256], "datatype": "UINT8"}, b"", None, "from 1 to 256, which UINT8 cannot"),
        ({"data": [1, 2.5], "datatype": "INT8"}, b"", None, "takes INT8; its data has other"),
        ({"data": [1, 2], "shape": [1, -2]}, b"", None, "whole numbers from 0"),
        ({"data": [1, 2], "shape": [1.0, 2]}, b"", None, "whole numbers from 0"),
        ({"data": [1, 2], "shape": [2**62, 2**62]}, b"", None, "claims"),
        ({"data": [1, 2], "name": 3}, b"", None, "'name' must be a string"),
        ({"data": "12"}, b"", None, "'data' must be an array"),
        ({"parameters": {"binary_data_size": 8}}, ROW, "right", None),
        ({"parameters": {"binary_data_size": 7}}, ROW, "right", "takes 8 bytes"),
        ({"parameters": {"binary_data_size": -8}}, ROW, "right", "takes 8 bytes"),
        ({"parameters": {"binary_data_size": "8"}}, ROW, "right", "takes 8 bytes"),
        ({"parameters": {"binary_data_size": 8}}, ROW[:7], "right", "needs 8 bytes, 7 are left"),
        ({"parameters": {"binary_data_size": 8}}, ROW + b"1", "right", "1 bytes follow"),
        ({"parameters": {"binary_data_size": 8}, "data": [1, 2]}, ROW, "right", "has both"),
        ({"parameters": {"binary_data_size": 8}}, ROW, "99999", "must be from 0 to the body's"),
        ({"parameters": {"binary_data_size": 8}}, ROW, "-5", "must be from 0 to the body's"),
        ({"parameters": {"binary_data_size": 8}}, ROW, None, "Failed to parse|not UTF-8"),
        ({"parameters": {"binary_data_size": 8}}, ROW, "10", "Failed to parse"),
    ],
)
def test_what_does_not_fit_is_refused_and_says_why(
    changes: dict[str, Any], tail: bytes, length: str | None, said: str | None
) -> None:
    content, right = body(tail=tail, **changes)
    length = right if length == "right" else length
    if said is None:
        assert array(content, length).shape == (1, 2)
        return
    with pytest.raises(InvalidRequestError, match=said):
        array(content, length)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Failed to parse"),
        (b"{", "Failed to parse"),
        (b"[]", "must be a JSON object, got an array"),
        (b"{}", "'inputs' is missing"),
        (b'{"inputs": {}}', "'inputs' must be an array"),
        (b'{"inputs": [3]}', "must be a JSON object"),
        (b'{"inputs": [NaN]}', "NaN is not JSON"),
        (b'{"inputs": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deeply|must be a JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deeply|'inputs' is missing"),
    ],
)
def test_what_is_no_request_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        wire.decode(content, None, SPECS)


def test_an_input_twice_is_refused() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    with pytest.raises(InvalidRequestError, match="there twice"):
        wire.decode(json.dumps({"inputs": [tensor, tensor]}).encode(), None, SPECS)


def test_the_form_of_an_output_wins_over_that_of_the_request() -> None:
    content = {
        "id": "7",
        "parameters": {"binary_data_output": True, "timeout": 5, "priority": 1},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}],
        "outputs": [
            {"name": "a"},
            {"name": "b", "parameters": {"binary_data": False, "classification": 3}},
        ],
    }
    message = wire.decode(json.dumps(content).encode(), None, SPECS)
    assert message.outputs == (
        OutputForm("a", True, 0),
        OutputForm("b", False, 3),
    )
    assert (message.id, message.timeout_us, message.priority) == ("7", 5, 1)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"name": "a", "parameters": {"shared_memory_region": "r"}}, "Shared memory"),
        ({"name": "a", "parameters": {"classification": -1}}, "whole number"),
        ({"name": "a", "parameters": {"classification": 10**7}}, "1,000,000 at most"),
        ({"name": "a", "parameters": {"binary_data": 1}}, "true or false"),
        ({}, "'name' is missing"),
    ],
)
def test_outputs_that_cannot_be_given_are_refused(output: dict[str, Any], said: str) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    with pytest.raises(InvalidRequestError, match=said):
        wire.decode(json.dumps({"inputs": [tensor], "outputs": [output]}).encode(), None, SPECS)


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=6)))
def test_any_bytes_are_refused_or_understood_but_never_crash(
    content: bytes, length: str | None
) -> None:
    with suppress(InvalidRequestError):
        wire.decode(content, length, SPECS)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", [True, False]),
        ("FP16", [[True], [True]]),
        ("INT32", [True, False]),
        ("BOOL", [1, 0]),
        ("UINT8", [-1, 2]),
        ("UINT64", [-1, 2]),
        ("INT8", [-129, 2]),
        ("INT8", [1, 128]),
    ],
)
def test_no_value_becomes_another(datatype: str, data: list[Any]) -> None:
    content, _ = body(datatype=datatype, data=data)
    with pytest.raises(InvalidRequestError, match=r"other values|cannot hold"):
        array(content)


@pytest.mark.parametrize(("datatype", "edges"), [("UINT8", [0, 255]), ("INT8", [-128, 127])])
def test_the_edges_of_a_type_are_its_own(datatype: str, edges: list[int]) -> None:
    content, _ = body(datatype=datatype, data=edges)
    assert array(content).tolist() == [edges]


def test_a_raw_request_to_two_inputs_is_refused() -> None:
    two = (*SPECS, TensorSpec(name="z", dtype="float32", shape=("batch", 2)))
    with pytest.raises(InvalidRequestError, match="a network with one input"):
        wire.decode(ROW, "0", two)


def test_a_raw_request_without_bytes_is_no_request() -> None:
    free = (TensorSpec(name="x", dtype="float32", shape=("batch", "length", 2)),)
    with pytest.raises(InvalidRequestError, match="got 0"):
        wire.decode(b"", "0", free)


def test_true_is_no_size_although_python_takes_it_for_one() -> None:
    content, length = body(
        datatype="UINT8", shape=[1], parameters={"binary_data_size": True}, tail=b"\7"
    )
    with pytest.raises(InvalidRequestError, match="binary_data_size is True"):
        array(content, length)


@pytest.mark.parametrize("datatype", ["FP32", "INT8", "UINT64", "BOOL"])
def test_no_elements_are_a_tensor_too(datatype: str) -> None:
    content, _ = body(datatype=datatype, shape=[0, 2], data=[])
    assert array(content).shape == (0, 2)


def test_numbers_of_any_kind_are_floats() -> None:
    content, _ = body(shape=[3], data=[1, 2.5, True])
    assert array(content).tolist() == [1, 2.5, 1]


def test_a_request_may_be_json_to_its_last_byte() -> None:
    content, length = body(data=[1.5, -2])
    assert array(content, length).tolist() == [[1.5, -2]]
    for wrong in (str(len(content) + 1), "\u00b2", "+1", " 1", ""):
        with pytest.raises(InvalidRequestError, match="must be from 0 to the body's"):
            array(content, wrong)


def test_a_raw_request_is_of_the_networks_size() -> None:
    for wrong in (ROW * 2, ROW[:7], b""):
        with pytest.raises(
            InvalidRequestError, match=f"must have 8 bytes for .*, got {len(wrong)}"
        ):
            wire.decode(wrong, "0", SPECS)
    fixed = (TensorSpec(name="x", dtype="float32", shape=(3, 2)),)
    assert wire.decode(ROW * 3, "0", fixed).inputs["x"].shape == (3, 2)
    free = (TensorSpec(name="x", dtype="float32", shape=("batch", "height", "width")),)
    with pytest.raises(InvalidRequestError, match="at most one axis of free length"):
        wire.decode(ROW, "0", free)
    inner = (TensorSpec(name="x", dtype="float32", shape=(2, "length")),)
    assert wire.decode(ROW * 2, "0", inner).inputs["x"].tolist() == [[1.5, -2]] * 2

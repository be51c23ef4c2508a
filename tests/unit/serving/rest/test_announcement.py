"""What a request announces: members left out, at their limits, and of other kinds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import OutputForm, Place
from lrn_deploy.serving.protocol.json_text import parse_json
from lrn_deploy.serving.protocol.outputs import MAX_CLASSES, check_distinct, output_form
from lrn_deploy.serving.protocol.parameters import field, flag
from lrn_deploy.serving.rest.announcement import Announcement, read

SHARED = {"shared_memory_region": "r", "shared_memory_byte_size": 8}


def announced(tensor: dict[str, Any] | None = None, **more: Any) -> Announcement:
    first = {"name": "x", "datatype": "FP32", "shape": [1, 2]} | (tensor or {"data": [1, 2]})
    return read(json.dumps({"inputs": [first]} | more).encode())


def refused(said: str, tensor: dict[str, Any] | None = None, **more: Any) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        announced(tensor, **more)


def test_what_is_left_out_has_the_protocols_default() -> None:
    found = announced()
    assert (found.outputs, found.binary, found.timeout_us, found.priority, found.id) == (
        (), False, 0, 0, "",
    )  # fmt: skip
    (tensor,) = found.inputs
    assert (tensor.name, tensor.shape, tensor.count, tensor.nbytes) == ("x", (1, 2), 2, 8)
    assert (tensor.data, tensor.place) == ([1, 2], None)


def test_each_parameter_is_its_own() -> None:
    found = announced(
        id=7, parameters={"timeout": 5, "priority": 3, "binary_data_output": True},
        outputs=[{"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}],
    )  # fmt: skip
    assert (found.timeout_us, found.priority, found.binary, found.id) == (5, 3, True, "7")
    assert found.outputs == (OutputForm("a", True), OutputForm("b", False))


def test_a_tensor_may_claim_as_much_as_a_tebielement() -> None:
    shape = {"shape": [2**20, 2**20], "data": []}
    assert announced(shape).inputs[0].count == 2**40
    refused("claims 1,099,511,627,777 elements", {"shape": [2**40 + 1], "data": []})
    assert announced({"shape": [0, 3], "data": []}).inputs[0].nbytes == 0
    assert announced({"shape": [], "data": [1]}).inputs[0].count == 1


def test_a_tensor_lies_in_one_place() -> None:
    found = announced({"parameters": SHARED | {"shared_memory_offset": 16}})
    assert found.inputs[0].place == Place("r", 16, 8)
    assert announced({"parameters": SHARED}).inputs[0].place == Place("r", 0, 8)
    refused("in shared memory and in the body", {"parameters": SHARED, "data": [1, 2]})
    refused("in shared memory and", {"parameters": SHARED | {"binary_data_size": 8}})
    refused("has both 'data' and", {"parameters": {"binary_data_size": 8}, "data": [1, 2]})
    refused("takes 8 bytes, binary_data_size is 9", {"parameters": {"binary_data_size": 9}})
    binary = announced({"parameters": {"binary_data_size": 8}}).inputs[0]
    assert (binary.data, binary.place) == (None, None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"inputs": []}, "no 'inputs'"),
        ({"inputs": ["x"]}, "Each of 'inputs' must be a JSON object"),
        ({"outputs": ["x"]}, "Each of 'outputs' must be a JSON object"),
        ({"outputs": {}}, "'outputs' must be an array"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "requested twice"),
        ({"parameters": []}, "'parameters' must be an object"),
        ({"parameters": {"binary_data_output": "yes"}}, "'binary_data_output' must be true or"),
        ({"parameters": {"timeout": -1}}, "'timeout' must be a whole number, got -1"),
    ],
)
def test_members_of_another_kind(more: dict[str, Any], said: str) -> None:
    refused(said, **more)


def test_the_twin_that_is_named_is_the_twin() -> None:
    tensors = [
        {"name": name, "datatype": "FP32", "shape": [1], "data": [1]} for name in ("a", "b", "b")
    ]
    refused("Input 'b' is there twice", inputs=tensors)


def test_as_many_classes_as_the_limit() -> None:
    most = output_form("a", {"classification": MAX_CLASSES}, binary=True)
    assert most == OutputForm("a", True, 1_000_000)
    with pytest.raises(InvalidRequestError, match="1,000,000 at most, got 1,000,001"):
        output_form("a", {"classification": MAX_CLASSES + 1}, binary=True)
    check_distinct((OutputForm("a"), OutputForm("b")))


def test_kinds_are_named() -> None:
    for kind, said in ((list, "an array"), (dict, "an object"), (str, "a string")):
        with pytest.raises(InvalidRequestError, match=f"'k' is missing; it must be {said}"):
            field({}, "k", kind, None)
        with pytest.raises(InvalidRequestError, match=f"'k' must be {said}"):
            field({"k": 1}, "k", kind, None)
    assert field({}, "k", list, [1]) == [1]
    assert (flag({}, "k"), flag({"k": True}, "k")) == (False, True)
    for value, name in (([], "an array"), ("", "a string"), (True, "a boolean"), (None, "null"),
                        (1, "a number")):  # fmt: skip
        with pytest.raises(InvalidRequestError, match=f"must be a JSON object, got {name}"):
            parse_json(json.dumps(value).encode())
    with pytest.raises(InvalidRequestError, match="the key 'b' is there twice"):
        parse_json(b'{"a": 1, "b": 1, "b": 2}')

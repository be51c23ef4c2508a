"""gRPC's messages as requests: each tensor once, in one form, with the values that it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.grpc import codec as grpc_codec


def request(*raw: bytes, datatype: str = "UINT8", **contents: list[Any]) -> Any:
    """A request for x and z, each of shape (1, 2), raw or with the same contents."""
    message = service_pb2.ModelInferRequest(model_name="m")
    for name in "xz":
        tensor = message.inputs.add(name=name, datatype=datatype, shape=[1, 2])
        for place, values in contents.items():
            getattr(tensor.contents, place).extend(values)
    message.raw_input_contents.extend(raw)
    return message


def values(message: Any) -> dict[str, Any]:
    inputs = grpc_codec.decode(message).inputs
    return {name: array.tolist() for name, array in inputs.items()}


def test_raw_and_typed_tensors_keep_their_order_and_values() -> None:
    assert values(request(b"\1\2", b"\3\xff")) == {"x": [[1, 2]], "z": [[3, 255]]}
    assert values(request(uint_contents=[0, 255])) == {"x": [[0, 255]], "z": [[0, 255]]}


@pytest.mark.parametrize("raw", [(b"\1\2",), (b"\1\2",) * 3])
def test_there_are_as_many_raw_tensors_as_inputs(raw: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidRequestError, match=f"{len(raw)} raw_input_contents for 2 inputs"):
        grpc_codec.decode(request(*raw))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (request(b"\1\2", b"\3"), "takes 2 bytes, got 1"),
        (request(b"\1\2", b"\3\4\5"), "takes 2 bytes, got 3"),
        (request(b"\1\2", b"\3\4", uint_contents=[1, 2]), "beside raw_input_contents"),
        (request(uint_contents=[1, 2, 3]), "takes 2 elements in uint_contents, got 3"),
        (request(int_contents=[1, 2]), "takes 2 elements in uint_contents, got 0"),
        (request(uint_contents=[1, 256]), "UINT8 cannot hold"),
        (request(datatype="INT16", int_contents=[1, -32769]), "INT16 cannot hold"),
        (request(datatype="FP16", fp32_contents=[1, 2]), "use raw_input_contents"),
        (request(datatype="BYTES", bytes_contents=[b"1", b"2"]), "datatype 'BYTES'"),
    ],
)
def test_what_does_not_fit_is_refused(message: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        grpc_codec.decode(message)


def test_an_input_twice_or_of_a_negative_shape_is_refused() -> None:
    twice = request(b"\1\2", b"\3\4")
    twice.inputs[1].name = "x"
    with pytest.raises(InvalidRequestError, match="there twice"):
        grpc_codec.decode(twice)
    negative = request(b"\1\2", b"\3\4")
    negative.inputs[1].shape[:] = [-1, -2]
    with pytest.raises(InvalidRequestError, match="negative axis"):
        grpc_codec.decode(negative)


def test_half_floats_come_raw() -> None:
    row = np.array([1.5, -2], "<f2").tobytes()
    assert values(request(row, row, datatype="FP16"))["z"] == [[1.5, -2]]

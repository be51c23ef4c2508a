"""Operations as messages, read back by the server's own codec, and failures by their kind."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from lrn_deploy.client import errors
from lrn_deploy.client.grpc.language import decode, encode, failure
from lrn_deploy.client.operations import Control, Ready, inference
from lrn_deploy.serving.grpc import codec

A = np.arange(6, dtype=np.float32).reshape(2, 3)
CODES = grpc.StatusCode


class Failed(grpc.RpcError):
    def __init__(self, code: Any, details: str, *tail: tuple[str, str]) -> None:
        self._told = code, details, tail

    def code(self) -> Any:
        return self._told[0]

    def details(self) -> str:
        return self._told[1]

    def trailing_metadata(self) -> Any:
        return self._told[2]


def test_the_server_reads_what_the_client_writes() -> None:
    sent = inference(
        "m", {"a": A}, outputs=["y"], classes=2, priority=1, id="seven",
        parameters={"b": True, "i": 3, "f": 0.5, "s": "x"},
    )  # fmt: skip
    method, message = encode(sent)
    assert method == "ModelInfer"
    asked = codec.decode(pb.ModelInferRequest.FromString(message.SerializeToString()))
    np.testing.assert_array_equal(asked.inputs["a"], A)
    assert (asked.priority, asked.id, asked.outputs[0].classes) == (1, "seven", 2)
    kinds = {name: one.WhichOneof("parameter_choice") for name, one in message.parameters.items()}
    assert kinds == {
        "b": "bool_param", "i": "int64_param", "f": "double_param", "s": "string_param",
        "priority": "int64_param",
    }  # fmt: skip


def test_each_control_is_its_own_method() -> None:
    assert encode(Control("m", load=True))[0] == "RepositoryModelLoad"
    assert encode(Control("m", load=False))[0] == "RepositoryModelUnload"
    assert encode(Ready())[0] == "ServerReady"
    assert encode(Ready("m"))[0] == "ModelReady"


def test_outputs_may_be_raw_or_not() -> None:
    asked = inference("m", {"a": A})
    raw = pb.ModelInferResponse()
    raw.outputs.add(name="y", datatype="FP32", shape=[2])
    raw.raw_output_contents.append(np.array([1, 2], "<f4").tobytes())
    assert decode(asked, raw)["y"].tolist() == [1, 2]
    typed = pb.ModelInferResponse()
    typed.outputs.add(name="y", datatype="INT64", shape=[1, 2]).contents.int64_contents.extend(
        [3, 4]
    )
    typed.outputs.add(name="s", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"ok")
    found = decode(asked, typed)
    assert found["y"].tolist() == [[3, 4]]
    assert found["s"].tolist() == [b"ok"]
    raw.outputs.add(name="z", datatype="FP32", shape=[2])
    with pytest.raises(errors.ProtocolError, match="1 raw contents for 2 outputs"):
        decode(asked, raw)


@pytest.mark.parametrize(
    ("code", "details", "kind", "status"),
    [
        (CODES.INVALID_ARGUMENT, "Wrong.", errors.InvalidRequestError, 400),
        (CODES.UNAUTHENTICATED, "No key.", errors.UnauthenticatedError, 401),
        (CODES.PERMISSION_DENIED, "Not you.", errors.ForbiddenError, 403),
        (CODES.NOT_FOUND, "Not here.", errors.NotFoundError, 404),
        (CODES.RESOURCE_EXHAUSTED, "Too many a second.", errors.TooManyRequestsError, 429),
        (CODES.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 4)",
         errors.TooLargeError, 413),
        (CODES.UNIMPLEMENTED, "Not I.", errors.UnsupportedError, 501),
        (CODES.UNAVAILABLE, "The queue is full.", errors.UnavailableError, 503),
        (CODES.INTERNAL, "Oh.", errors.ServerError, 500),
        (CODES.UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN: "
         "ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
         errors.UnreachableError, 0),
        (CODES.UNAVAILABLE, "Socket closed", errors.LostError, 0),
        (CODES.UNAVAILABLE, "recvmsg:Connection reset by peer", errors.LostError, 0),
    ],
)  # fmt: skip
def test_a_failure_is_of_its_kind(code: Any, details: str, kind: type, status: int) -> None:
    found = failure(Failed(code, details), "grpc://x")
    assert type(found) is kind
    assert found.status == status
    assert details in found.message


def test_the_servers_id_and_its_words_are_apart() -> None:
    by_tail = failure(Failed(CODES.NOT_FOUND, "No 'm'. [request r-1]", ("x-request-id", "r-1")), "")
    by_text = failure(Failed(CODES.NOT_FOUND, "No 'm'. [request r-1]"), "")
    for found in (by_tail, by_text):
        assert (found.message, found.request_id) == ("No 'm'.", "r-1")


@pytest.mark.parametrize(
    ("tail", "seconds"),
    [
        ((), 0.0),  # over gRPC few say when to come back
        ((("grpc-retry-pushback-ms", "250"),), 0.25),
        ((("grpc-retry-pushback-ms", "-1"),), None),  # A6: do not come back
        ((("retry-after", "2"),), 2.0),
    ],
)
def test_when_to_come_back(tail: tuple[tuple[str, str], ...], seconds: float | None) -> None:
    found = failure(Failed(CODES.UNAVAILABLE, "The queue is full.", *tail), "")
    assert found.retry_after == seconds
    assert failure(Failed(CODES.NOT_FOUND, "No."), "").retry_after is None

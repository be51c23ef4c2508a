"""Operations as messages, read back by the server's own codec, and failures by their kind."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from lrn_deploy.client import errors
from lrn_deploy.client.answers import ModelMetadata, ModelState, ServerMetadata, TensorMetadata
from lrn_deploy.client.grpc.language import decode, encode, failure
from lrn_deploy.client.operations import (
    AboutModel,
    AboutServer,
    Classify,
    Config,
    Control,
    Index,
    Live,
    Operation,
    Ready,
    Stats,
    inference,
)
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


@pytest.mark.parametrize(
    ("operation", "method"),
    [
        (Live(), "ServerLive"),
        (Ready("m", "2"), "ModelReady"),
        (AboutServer(), "ServerMetadata"),
        (AboutModel("m", "2"), "ModelMetadata"),
        (Config("m", "2"), "ModelConfig"),
        (Stats("m", "2"), "ModelStatistics"),
        (Index(), "RepositoryIndex"),
    ],
)
def test_each_operation_is_its_own_method(operation: Any, method: str) -> None:
    found, message = encode(operation)
    assert found == method
    if isinstance(operation, Ready | AboutModel | Config | Stats):
        assert (message.name, message.version) == ("m", "2")


def test_images_are_not_classified_over_grpc() -> None:
    with pytest.raises(errors.UnsupportedError, match="HTTP only") as caught:
        encode(Classify("m", ()))
    assert caught.value.status == 501


def test_an_operation_that_grpc_does_not_know_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="no message"):
        encode(Operation())
    with pytest.raises(TypeError, match="no answer"):
        decode(Operation(), pb.ServerLiveResponse())


def test_loading_and_unloading_name_the_model_and_are_answered_with_nothing() -> None:
    for load in (True, False):
        operation = Control("m", load=load)
        assert encode(operation)[1].model_name == "m"
        assert decode(operation, pb.RepositoryModelLoadResponse()) is None


def test_what_a_server_and_a_model_are_is_read() -> None:
    server = pb.ServerMetadataResponse(name="it", version="1", extensions=["x", "y"])
    assert decode(AboutServer(), server) == ServerMetadata("it", "1", ("x", "y"))
    model = pb.ModelMetadataResponse(name="m", versions=["1", "2"], platform="p")
    model.inputs.add(name="a", datatype="FP32", shape=[-1, 3])
    model.outputs.add(name="y", datatype="INT64", shape=[-1])
    assert decode(AboutModel("m"), model) == ModelMetadata(
        "m", ("1", "2"), "p",
        (TensorMetadata("a", "FP32", (-1, 3)),), (TensorMetadata("y", "INT64", (-1,)),),
    )  # fmt: skip
    index = pb.RepositoryIndexResponse()
    index.models.add(name="m", version="1", state="READY", reason="why")
    assert decode(Index(), index) == (ModelState("m", "1", "READY", "why"),)


def test_numbers_are_numbers_as_over_http_and_names_of_digits_are_none() -> None:
    stats = pb.ModelStatisticsResponse()
    one = stats.model_stats.add(name="7", version="1", inference_count=2**40)
    one.batch_stats.add(batch_size=4)
    (found,) = decode(Stats(), stats)
    assert (found["name"], found["version"]) == ("7", "1")
    assert found["inference_count"] == 2**40
    assert found["batch_stats"][0]["batch_size"] == 4
    config = pb.ModelConfigResponse()
    config.config.name = "m"
    config.config.max_batch_size = 8
    config.config.platform = "onnx"
    config.config.input.add(name="a", dims=[3, -1])
    config.config.parameters["k"].string_value = "12"
    told = decode(Config("m"), config)
    assert (told["max_batch_size"], told["input"][0]["dims"]) == (8, [3, -1])
    assert (told["parameters"], told["platform"]) == ({"k": {"string_value": "12"}}, "onnx")
    assert told["model_warmup"] == []


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
        (CODES.CANCELLED, "Gone.", errors.RefusedError, 499),
        (CODES.INVALID_ARGUMENT, "It takes 8 bytes, got 4.", errors.InvalidRequestError, 400),
        (CODES.NOT_FOUND, "No model 'connect'.", errors.NotFoundError, 404),
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
    both = failure(Failed(CODES.NOT_FOUND, "No 'm'. [request r-2]", ("x-request-id", "r-1")), "")
    for found in (by_tail, by_text, both):
        assert (found.message, found.request_id) == ("No 'm'.", "r-1")


def test_a_server_that_says_nothing_has_failed_all_the_same() -> None:
    silent = Failed(CODES.NOT_FOUND, "")
    silent._told = CODES.NOT_FOUND, None, None  # type: ignore[assignment]  # as grpcio has it
    found = failure(silent, "")
    assert (found.status, found.request_id) == (404, "")
    assert found.message == "The server answered 404 and did not say why."


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
    assert failure(Failed(CODES.RESOURCE_EXHAUSTED, "Too many."), "").retry_after == 0.0
    strange = Failed(CODES.UNAVAILABLE, "Full.", ("retry-after", "tomorrow"))
    assert failure(strange, "").retry_after == 0.0

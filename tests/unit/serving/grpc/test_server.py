"""gRPC's statuses, deadlines and limits, asked with tritonclient's stubs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lrn_deploy.serving import errors
from lrn_deploy.serving.batching.job import Outcome, Timing
from lrn_deploy.serving.grpc.server import GrpcServer, _Call
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Service, Any]]:
    settings = ServerSettings(access_log="none", grpc_threads=1, max_body_bytes=10_000)
    service = Service(Repository(ModelSettings()), settings)
    server = GrpcServer(service, "127.0.0.1", 0)
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield service, service_pb2_grpc.GRPCInferenceServiceStub(channel)
    server.stop(0.1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequestError("x"), "INVALID_ARGUMENT"),
        (errors.ForbiddenError("x"), "PERMISSION_DENIED"),
        (errors.NotFoundError("x"), "NOT_FOUND"),
        (errors.TooLargeError("x"), "RESOURCE_EXHAUSTED"),
        (errors.TooManyError("x"), "RESOURCE_EXHAUSTED"),
        (errors.CanceledError("x"), "CANCELLED"),
        (errors.UnsupportedError("x"), "UNIMPLEMENTED"),
        (errors.UnavailableError("x"), "UNAVAILABLE"),
        (errors.InferenceError("x"), "INTERNAL"),
        (ValueError("x"), "INTERNAL"),
    ],
)
def test_each_refusal_has_its_status(
    running: tuple[Service, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    service, stub = running

    def refuse() -> Any:
        raise error

    monkeypatch.setattr(service.repository, "models", refuse)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=5)
    assert caught.value.code() == getattr(grpc.StatusCode, code)
    (identity,) = [
        value for key, value in caught.value.trailing_metadata() if key == "x-request-id"
    ]
    assert caught.value.details().endswith(f"[request {identity}]")


def test_messages_and_handshakes_have_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, int] = {}
    make = grpc.server

    def noted(pool: Any, options: Any) -> Any:
        told.update(options)
        return make(pool, options=options)

    monkeypatch.setattr(grpc, "server", noted)
    settings = ServerSettings(access_log="none", grpc_threads=1, max_body_bytes=10_000)
    GrpcServer(Service(Repository(ModelSettings()), settings), "127.0.0.1", 0)
    assert told == {
        "grpc.max_receive_message_length": 10_000,
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 0,
        "grpc.server_handshake_timeout_ms": 10_000,
    }


class Model:
    name = "m"
    outputs = ()
    labels = None


def inference(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Have inferences answered at once; the deadlines that they had."""
    deadlines: list[int | None] = []

    def infer(
        _request: Any, name: str, version: str, _asked: InferRequest, deadline: int | None = None
    ) -> tuple[Any, Future[Outcome]]:
        assert (name, version) == ("m", "1")
        deadlines.append(deadline)
        future: Future[Outcome] = Future()
        future.set_result(Outcome({}, Timing(1, 2, 3, 4, 1, 0)))
        return Model, future

    monkeypatch.setattr(service, "admit_work", lambda *_: None)
    monkeypatch.setattr(service, "infer", infer)
    return deadlines


def message(size: int = 4) -> Any:
    asked = service_pb2.ModelInferRequest(model_name="m", model_version="1")
    asked.inputs.add(name="x", datatype="UINT8", shape=[size])
    asked.raw_input_contents.append(np.zeros(size, np.uint8).tobytes())
    return asked


def test_the_clients_deadline_is_the_requests(
    running: tuple[Service, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, stub = running
    deadlines = inference(service, monkeypatch)
    stub.ModelInfer(message(), timeout=50)
    left = (deadlines[0] or 0) / 1e9 - time.monotonic()
    assert 45 < left < 55  # gRPC rounds up
    assert stub.ModelInfer(message()).model_name == "m"
    assert deadlines[1] is None


def test_who_has_left_before_its_request_is_queued_takes_no_turn(
    running: tuple[Service, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = running
    inference(service, monkeypatch)
    waiting: Future[Outcome] = Future()
    monkeypatch.setattr(service, "infer", lambda *_: (Model, waiting))
    context = SimpleNamespace(time_remaining=lambda: None, add_callback=lambda _end: False)
    server = object.__new__(GrpcServer)
    server.service = service
    call = _Call(cast(grpc.ServicerContext, context), Request("gRPC", "ModelInfer"))
    with pytest.raises(errors.CanceledError):
        server._infer(message(), call)
    assert waiting.cancelled()


def test_where_an_inference_went_is_noted(
    running: tuple[Service, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = running
    inference(service, monkeypatch)
    context = SimpleNamespace(time_remaining=lambda: None, add_callback=lambda _end: True)
    server = object.__new__(GrpcServer)
    server.service = service
    asked = Request("gRPC", "ModelInfer")
    answer = server._infer(message(), _Call(cast(grpc.ServicerContext, context), asked))
    assert answer.model_name == "m"
    assert asked.timings == [Timing(1, 2, 3, 4, 1, 0)]


def test_a_message_of_more_than_the_limit_is_refused(
    running: tuple[Service, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, stub = running
    inference(service, monkeypatch)
    rest = 10_000 - (message(9_000).ByteSize() - 9_000)
    assert message(rest).ByteSize() == 10_000
    stub.ModelInfer(message(rest), timeout=5)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(message(rest + 1), timeout=5)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_answer_says_where_in_a_trace_it_is_if_it_is_in_one(
    running: tuple[Service, Any],
) -> None:
    _, stub = running

    def tail(*metadata: tuple[str, str]) -> dict[str, str]:
        _, call = stub.ServerLive.with_call(
            service_pb2.ServerLiveRequest(), timeout=5, metadata=metadata
        )
        return dict(call.trailing_metadata())

    trace = "0af7651916cd43dd8448eb211c80319c"
    told = tail(("traceparent", f"00-{trace}-b7ad6b7169203331-01"), ("x-request-id", "mine"))
    assert told["x-request-id"] == "mine"
    assert told["traceresponse"].startswith(f"00-{trace}-")
    assert set(tail()) == {"x-request-id"}


def test_what_is_not_there(running: tuple[Service, Any]) -> None:
    _, stub = running
    assert not stub.ModelReady(service_pb2.ModelReadyRequest(name="none"), timeout=5).ready
    assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=5).live
    assert not stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5).ready
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="none"), timeout=5)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError, match="has no '/inference") as c:
        stub.TraceSetting(service_pb2.TraceSettingRequest(), timeout=5)
    assert c.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_stopping_gives_the_time_that_is_said_and_waits_a_second_more_for_its_threads() -> None:
    told: list[tuple[str, float]] = []

    class Server:
        def stop(self, seconds: float) -> Server:
            told.append(("stop", seconds))
            return self

        def wait(self, seconds: float) -> None:
            told.append(("wait", seconds))

    server = object.__new__(GrpcServer)
    server._server = Server()
    server.stop(5)
    assert told == [("stop", 5), ("wait", 6)]

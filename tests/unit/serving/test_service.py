"""What holds for a request whatever transport it came by, and what a connection asks for."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from weakref import ref

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lrn_deploy.serving.errors import (
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RequestError,
    TooManyError,
    UnavailableError,
    UnsupportedError,
)
from lrn_deploy.serving.grpc.server import GrpcServer
from lrn_deploy.serving.http.message import Response, error_response
from lrn_deploy.serving.http.server import HttpServer
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.security.key_ring import KeyRing
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    colour_bundle(tmp_path / "bundle")
    one = Repository(ModelSettings(threads=1))
    one.load(one.add(tmp_path / "bundle"))
    yield one
    one.close(5)


def service(repository: Repository | None = None, **settings: Any) -> Service:
    settings = {"access_log": "all"} | settings
    return Service(repository or Repository(ModelSettings()), ServerSettings(**settings))


def log(capsys: pytest.CaptureFixture[str]) -> list[tuple[int, str]]:
    """Status and error of each line."""
    lines = map(json.loads, capsys.readouterr().err.splitlines())
    return [(line["status"], line.get("error", "")) for line in lines]


def test_a_request_counts_until_its_answer_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    one = service()
    with one.answering(Request("GET", "/")), one.answering(Request("GET", "/")):
        assert one.in_flight == 2
    assert one.in_flight == 0
    assert log(capsys) == [(200, ""), (200, "")]


def test_what_ends_an_answer_is_told_and_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = service()
    with one.answering(Request("GET", "/")) as refused:
        raise NotFoundError("There is nothing.")
    with one.answering(Request("GET", "/")) as failed:
        raise ZeroDivisionError("a secret")
    assert (refused.refusal.status, refused.refusal.message) == (404, "There is nothing.")
    assert failed.refusal.status == 500
    assert "bug" in failed.refusal.message
    assert "secret" not in failed.refusal.message
    assert log(capsys) == [(404, "There is nothing."), (500, "ZeroDivisionError('a secret')")]
    assert one.in_flight == 0


def test_what_a_refused_request_held_is_free_without_the_collector() -> None:
    class Body:
        """Something large."""

    def refuse(body: Body) -> ref[Body]:
        with service(access_log="none").answering(Request("GET", "/")) as answering:
            raise InvalidRequestError(f"{body} is none.")
        assert answering.refusal.status == 400
        return ref(body)

    gc.disable()
    try:
        held = refuse(Body())
        assert held() is None
    finally:
        gc.enable()


def test_a_cancelled_request_is_counted_out_and_goes_on_being_cancelled() -> None:
    one = service()
    with pytest.raises(asyncio.CancelledError), one.answering(Request("GET", "/")):
        raise asyncio.CancelledError
    assert one.in_flight == 0


def test_a_status_that_is_no_success_is_not_logged_as_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with service().answering(Request("GET", "/v2/health/ready")) as answering:
        answering.status = 503
    assert log(capsys) == []
    app = App(service())
    for path, lines in (("/v2/health/ready", []), ("/v2/health/live", [(200, "")])):
        asyncio.run(app.handle(Request("GET", path)))
        assert log(capsys) == lines


def test_a_refusal_before_the_body_is_logged_as_any_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = App(service()).refusal(Request("GET", "/", id="7"), NotFoundError("Nothing."), 0)
    assert (answer.status, json.loads(answer.body)["request_id"]) == (404, "7")
    assert log(capsys) == [(404, "Nothing.")]


def test_who_is_let_in(repository: Repository) -> None:
    one = service(repository, rate_limit=2, access_log="none")
    one.admit()
    one.admit_work(Request("gRPC", "ModelInfer", caller="a"), "colours")
    with pytest.raises(NotFoundError):  # it counts nevertheless
        one.admit_work(Request("gRPC", "ModelInfer", caller="a"), "colours", "7")
    with pytest.raises(TooManyError):
        one.admit_work(Request("gRPC", "ModelInfer", caller="a"), None)
    one.drained.set()
    with pytest.raises(UnavailableError, match="stopping"):
        one.admit()


def test_models_are_loaded_by_whom_the_settings_allow(repository: Repository) -> None:
    closed = service(repository, access_log="none")
    for operation in (closed.load, closed.unload):
        with pytest.raises(ForbiddenError):
            operation("colours")
    assert closed.model("colours").ready
    service(repository, access_log="none", model_control=True).unload("colours")
    with pytest.raises(UnavailableError):
        closed.model("colours")


def test_overrides_are_refused_by_their_names(repository: Repository) -> None:
    one = service(repository, access_log="none", model_control=True)
    for operation in (one.load, one.unload):
        for name in ("config", "file:1/model.onnx"):
            with pytest.raises(UnsupportedError, match="without overrides"):
                operation("colours", [name])
        operation("colours", ["unload_dependents", "configuration"])


def test_it_is_live_and_ready_while_some_model_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    one = service(access_log="none")
    seen = []
    for models in ((), (False,), (False, True)):
        loaded = [SimpleNamespace(ready=ready) for ready in models]
        monkeypatch.setattr(one.repository, "models", lambda loaded=loaded: loaded)
        seen.append((one.live, one.ready))
    assert seen == [(True, False), (False, False), (True, True)]
    one.stopping = True
    assert (one.live, one.ready) == (True, False)


def test_metrics_count_what_clients_and_keys_were_refused() -> None:
    one = service(access_log="none")
    one.limiter.refused = 5
    assert "lrn_rate_limited_requests 5" in one.metrics().splitlines()
    one.keys = cast(KeyRing, SimpleNamespace(refused=2))
    assert "lrn_rate_limited_requests 7" in one.metrics().splitlines()


def test_who_needs_no_key_goes_on_and_who_needs_one_as_long_as_it_is_taken() -> None:
    one, asked = service(access_log="none"), Request("GET", "/", {"authorization": "x"})
    assert one.still_allows(asked, "statistics")
    told: list[tuple[Any, str]] = []

    def allows(headers: Mapping[str, str], scope: str) -> bool:
        told.append((headers, scope))
        return False

    one.keys = cast(KeyRing, SimpleNamespace(allows=allows))
    assert one.still_allows(asked, "live")  # for which none is asked
    assert not one.still_allows(asked, "statistics")
    assert told == [(asked.headers, "read")]


def test_statistics_are_of_one_model_or_of_all(repository: Repository) -> None:
    one = service(repository, access_log="none")
    for found in (one.statistics(), one.statistics("colours"), one.statistics("colours", "1")):
        (model,) = found["model_stats"]
        assert (model["name"], model["version"]) == ("colours", "1")
    with pytest.raises(NotFoundError):
        one.statistics("colours", "2")


def full(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the queue of the model admit nobody."""
    queue = repository.get("colours").batcher.pending
    monkeypatch.setattr(queue, "admits", lambda _caller: False)


def test_a_full_queue_refuses_by_either_transport_before_tensors_are_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = service(repository, access_log="none")
    full(repository, monkeypatch)
    front = GrpcServer(one, "127.0.0.1", 0)
    front.start()
    broken = service_pb2.ModelInferRequest(model_name="colours")
    broken.inputs.add(name="image", datatype="NONE", shape=[-1])
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="Exceeds maximum queue size") as caught:
            stub.ModelInfer(broken, timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    front.stop(1)
    with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
        App(one).admit(Request("POST", "/v2/models/colours/infer"))
    with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
        App(one).admit(Request("POST", "/v1/classify", query={"model": "colours"}))
    with pytest.raises(NotFoundError, match="no version 7"):
        App(one).admit(Request("POST", "/v2/models/colours/versions/7/infer"))
    assert repository.get("colours").batcher.statistics.failures == {"REJECTED": 3}


def test_an_inference_is_its_callers(repository: Repository) -> None:
    one = service(repository, access_log="none")
    asked = InferRequest({"image": np.zeros((2, 3, 8, 8), np.float32)})
    model, future = one.infer(Request("gRPC", "ModelInfer", caller="a"), "colours", "", asked)
    assert model.name == "colours"
    assert future.result(10).timing.batch_rows == 2
    assert one.statistics("colours")["model_stats"][0]["inference_count"] == 2


class Echo:
    """The least that a connection asks for; knows neither models nor paths."""

    body_limit = 10
    body_seconds = 1.0
    stopping = False

    def begin(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        peer: str,
    ) -> Request:
        return Request(method, path, headers, query, id="i", peer=peer)

    def admit(self, request: Request) -> int:
        if request.path == "/no":
            raise InvalidRequestError("No.")
        return self.body_limit

    async def handle(self, request: Request) -> Response:
        return Response(200, (), bytes(request.body)[::-1])

    def refusal(self, request: Request, error: RequestError, started: int) -> Response:  # noqa: ARG002
        return error_response(error, request.id)

    def answer_headers(self, request: Request) -> tuple[tuple[str, str], ...]:
        return (("x-path", request.path),)

    def bug(self, request: Request, error: Exception, started: int) -> None:
        raise AssertionError(request, started) from error


def test_http_serves_any_handler() -> None:
    async def ask(path: bytes) -> bytes:
        front = HttpServer(Echo(), "127.0.0.1", 0)
        await front.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(
            b"POST %b HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc" % path
        )
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await front.stop_listening()
        front.stop()
        return answer

    answer = asyncio.run(ask(b"/yes"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nx-path: /yes\r\n" in answer
    assert answer.endswith(b"\r\n\r\ncba")
    assert asyncio.run(ask(b"/no")).startswith(b"HTTP/1.1 400 Bad Request\r\n")

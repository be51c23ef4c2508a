"""Health and reflection by gRPC, asked with the stubs that other programs have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.grpc import service_pb2, service_pb2_grpc

from lrn_deploy.serving.grpc.health import Health, handlers
from lrn_deploy.serving.grpc.server import GrpcServer
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    colour_bundle(tmp_path / "colours")
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(tmp_path / "colours"))
    yield Service(repository, ServerSettings(access_log="none", grpc_threads=1))
    repository.close(5)


@pytest.fixture
def channel(service: Service) -> Iterator[grpc.Channel]:
    front = GrpcServer(service, "127.0.0.1", 0)
    front.start()
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        yield channel
    front.stop(0.1)


def check(channel: grpc.Channel, service: str = "") -> Any:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status


def watch(channel: grpc.Channel, service: str = "") -> Any:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Watch(request, timeout=60)


def test_the_server_and_a_model(service: Service, channel: grpc.Channel) -> None:
    names = ("", "inference.GRPCInferenceService", "colours")
    assert [check(channel, name) for name in names] == [SERVING] * 3
    service.repository.unload("colours")
    assert [check(channel, name) for name in names] == [NOT_SERVING] * 3
    service.repository.load("colours")
    assert [check(channel, name) for name in names] == [SERVING] * 3


def test_a_model_that_is_not_there(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError, match="'shapes' is not found; there is 'colours'") as caught:
        check(channel, "shapes")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_what_is_no_message_is_refused_as_everywhere(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError, match="no valid HealthCheckRequest") as caught:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff\xff\xff", timeout=5)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_server_that_drains_still_says_so(service: Service, channel: grpc.Channel) -> None:
    service.stopping = True
    assert (check(channel), check(channel, "colours")) == (NOT_SERVING, NOT_SERVING)
    service.drained.set()  # no other request is answered from now on
    assert (check(channel), check(channel, "colours")) == (NOT_SERVING, NOT_SERVING)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError, match="stopping"):
        stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=5)


def test_who_watches_hears_of_each_change_once(service: Service, channel: grpc.Channel) -> None:
    whole, model, other = (watch(channel, name) for name in ("", "colours", "shapes"))
    assert [next(stream).status for stream in (whole, model, other)] == [SERVING, SERVING, UNKNOWN]
    service.repository.unload("colours")
    assert [next(stream).status for stream in (whole, model)] == [NOT_SERVING] * 2
    service.repository.load("colours")
    assert [next(stream).status for stream in (whole, model)] == [SERVING] * 2
    service.stopping = True
    assert [next(stream).status for stream in (whole, model)] == [NOT_SERVING] * 2
    assert service.in_flight == 0  # a stream does not keep the server from ending
    for stream in (whole, model, other):
        stream.cancel()


def test_a_server_whose_threads_are_all_taken_is_not_taken_for_dead(
    service: Service, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def stay(*_: Any) -> Any:
        entered.set()
        leave.wait(20)
        return []

    monkeypatch.setattr(service.repository, "models", stay)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    waiting = stub.ModelStatistics.future(service_pb2.ModelStatisticsRequest(), timeout=20)
    assert entered.wait(5)
    assert check(channel, "colours") == SERVING
    leave.set()
    waiting.result()


def test_many_who_watch_take_nothing_from_others(channel: grpc.Channel) -> None:
    streams = [watch(channel) for _ in range(40)]
    assert next(streams[0]).status == SERVING
    assert check(channel) == SERVING
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=5).live
    for stream in streams[:-1]:
        stream.cancel()
    assert next(streams[-1]).status == SERVING  # its turn has come
    streams[-1].cancel()


def test_two_checks_are_answered_at_once_and_sixteen_may_watch(service: Service) -> None:
    methods = handlers(service, "whole", lambda _name, act, _kind: act, lambda *parts: parts[2])
    check, watching, reflecting = (
        methods[f"/{path}"]
        for path in (
            "grpc.health.v1.Health/Check",
            "grpc.health.v1.Health/Watch",
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        )
    )
    pool = watching.unary_stream.experimental_thread_pool
    assert check.unary_unary.experimental_thread_pool._max_workers == 2
    assert pool._max_workers == 16
    assert reflecting.stream_stream.experimental_thread_pool is pool


def test_reflection_tells_enough_to_ask_with(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    pool = DescriptorPool(database)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    methods = {method.name for method in service.methods}
    assert {"ModelInfer", "ServerLive", "ModelMetadata"} <= methods
    assert service.FindMethodByName("ModelInfer").input_type.full_name == (
        "inference.ModelInferRequest"
    )
    assert pool.FindServiceByName("grpc.health.v1.Health").FindMethodByName("Watch")


def test_reflection_by_its_newer_name(channel: grpc.Channel) -> None:
    ask = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    question = reflection_pb2.ServerReflectionRequest(file_containing_symbol="nothing.Here")
    (answer,) = ask(iter([question]), timeout=5)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_who_watches_waits_a_fifth_of_a_second_between_looks(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            if len(waits) == 3:
                self.set()
            return self.is_set()

    class Context:
        def __init__(self, *, open_: bool = True) -> None:
            self.open = open_

        def add_callback(self, _end: Any) -> bool:
            return self.open

    monkeypatch.setattr("lrn_deploy.serving.grpc.health.threading.Event", Event)
    health = Health(service, "whole")
    request = health_pb2.HealthCheckRequest(service="whole")
    assert [one.status for one in health.watch(request, Context())] == [SERVING]  # said once
    assert waits == [0.2] * 3
    assert list(health.watch(request, Context(open_=False))) == []  # who has left is told nothing

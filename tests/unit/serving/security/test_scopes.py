"""Whose key opens what: every route and every method, with every key and with none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from tritonclient.grpc import service_pb2

from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.grpc.server import GrpcServer
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.rest import stats_routes
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.rest.routes import Handler, Route
from lrn_deploy.serving.security import keys
from lrn_deploy.serving.security.key_ring import KeyRing
from lrn_deploy.serving.security.scopes import NEEDED, SCOPES
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.inside import inside

ROUTES = {
    "GET /v2/health/live": None,
    "GET /v2/health/ready": None,
    "GET /v2[/]": "read",
    "GET /v2/models/stats": "read",
    "GET /v2/models/{model}[/versions/{version}]": "read",
    "GET /v2/models/{model}[/versions/{version}]/ready": "read",
    "GET /v2/models/{model}[/versions/{version}]/config": "read",
    "GET /v2/models/{model}[/versions/{version}]/stats": "read",
    "POST /v2/models/{model}[/versions/{version}]/infer": "infer",
    "POST /v2/repository/index": "read",
    "POST /v2/repository/models/{model}/load": "control",
    "POST /v2/repository/models/{model}/unload": "control",
    "GET /v2/systemsharedmemory[/region/{region}]/status": "read",
    "POST /v2/systemsharedmemory/region/{region}/register": "control",
    "POST /v2/systemsharedmemory[/region/{region}]/unregister": "control",
    "POST /v1/classify": "infer",
    "POST /v1/embed": "infer",
    "GET /v1/models/{model}/card": "read",
    "GET /v1/models/{model}/report": "read",
    "POST /v1/models/{model}/occlude": "infer",
    "GET /": None,
    "GET /openapi.json": None,
    "GET /page/{file}": None,
    "GET /v1/stats": "read",
    "GET /metrics": "read",
}
METHODS = {
    "inference.GRPCInferenceService/ServerLive": None,
    "inference.GRPCInferenceService/ServerReady": None,
    "inference.GRPCInferenceService/ServerMetadata": "read",
    "inference.GRPCInferenceService/ModelReady": "read",
    "inference.GRPCInferenceService/ModelMetadata": "read",
    "inference.GRPCInferenceService/ModelConfig": "read",
    "inference.GRPCInferenceService/ModelStatistics": "read",
    "inference.GRPCInferenceService/ModelInfer": "infer",
    "inference.GRPCInferenceService/RepositoryIndex": "read",
    "inference.GRPCInferenceService/RepositoryModelLoad": "control",
    "inference.GRPCInferenceService/RepositoryModelUnload": "control",
    "inference.GRPCInferenceService/SystemSharedMemoryStatus": "read",
    "inference.GRPCInferenceService/SystemSharedMemoryRegister": "control",
    "inference.GRPCInferenceService/SystemSharedMemoryUnregister": "control",
    "grpc.health.v1.Health/Check": None,
    "grpc.health.v1.Health/Watch": None,
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "read",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "read",
}


class House:
    """A server without models, and a key of each scope."""

    def __init__(self, folder: Path) -> None:
        file = folder / "keys.json"
        self.texts = {scope: keys.add(file, scope, (scope,))[0] for scope in SCOPES}
        settings = ServerSettings(access_log="none", model_control=True, shared_memory=True)
        ring = KeyRing(file, print)
        self.service = Service(Repository(ModelSettings()), settings, keys=ring)
        self.app = App(self.service)
        self.grpc = GrpcServer(self.service, "127.0.0.1", 0)

    def headers(self, scope: str | None) -> dict[str, str]:
        return {} if scope is None else {"authorization": f"Bearer {self.texts[scope]}"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("keys"))
    made.grpc.start()
    yield made
    made.grpc.stop(0)


def expected(needed: str | None, owned: str | None) -> str:
    """What becomes of a request that needs one scope and has a key of another, or none."""
    if needed is None or needed == owned:
        return "let in"
    return "no key" if owned is None else "under-scoped"


def routes(app: App) -> dict[str, Route]:
    return {f"{route.method} {route.path}": route for route in app._routes}


def over_http(house: House, route: Route, owned: str | None) -> str:
    path = route.path.replace("[", "").replace("]", "")
    path = path.replace("{version}", "1").replace("{model}", "m").replace("{region}", "r")
    request = house.app.begin(route.method, path, house.headers(owned), {}, "1.2.3.4:5")
    try:
        house.app.admit(request)
    except RequestError as error:
        return {401: "no key", 403: "under-scoped"}.get(error.status, "let in")
    return "let in"


def over_grpc(house: House, channel: grpc.Channel, path: str, owned: str | None) -> str:
    call = channel.stream_stream(f"/{path}")(
        iter([b""]), metadata=tuple(house.headers(owned).items()), timeout=5
    )
    try:
        next(call)
        call.cancel()
    except StopIteration:
        return "let in"
    except grpc.RpcError as error:
        return {
            grpc.StatusCode.UNAUTHENTICATED: "no key",
            grpc.StatusCode.PERMISSION_DENIED: "under-scoped",
        }.get(error.code(), "let in")
    return "let in"


def test_every_route_is_in_the_list_and_no_other(house: House) -> None:
    assert {name: NEEDED[route.operation] for name, route in routes(house.app).items()} == ROUTES


def test_every_method_is_in_the_list_and_no_other(house: House) -> None:
    assert {path.removeprefix("/") for path in house.grpc.paths} == set(METHODS)
    known = {
        method.name
        for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    }
    assert {path.rpartition("/")[2] for path in METHODS if path.startswith("inf")} < known


@pytest.mark.parametrize("owned", [None, *SCOPES])
def test_every_route_opens_to_its_scope_alone(house: House, owned: str | None) -> None:
    for name, route in routes(house.app).items():
        assert over_http(house, route, owned) == expected(ROUTES[name], owned), name


@pytest.mark.parametrize("owned", [None, *SCOPES])
def test_every_method_opens_to_its_scope_alone(house: House, owned: str | None) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{house.grpc.port}") as channel:
        for path, needed in METHODS.items():
            assert over_grpc(house, channel, path, owned) == expected(needed, owned), path


def test_a_route_that_opens_to_the_wrong_scope_is_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes(house.app)["POST /v1/embed"], "scope", "read")
    with pytest.raises(AssertionError, match="/v1/embed"):
        test_every_route_opens_to_its_scope_alone(house, "read")


def test_an_operation_without_a_scope_is_no_route() -> None:
    with pytest.raises(KeyError):
        Route("GET", "/new", cast(Handler, None), "new")


def test_methods_that_are_not_there_say_so_without_a_key(house: House) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{house.grpc.port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/TraceSetting")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=5)
    assert cast(Any, caught.value).code() == grpc.StatusCode.UNIMPLEMENTED


def test_the_key_is_the_caller_unless_a_gateway_says_whose_request_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(**headers: str) -> tuple[str, str]:
        request = house.app.begin("GET", "/v2", house.headers("read") | headers, {}, "1.2.3.4:5")
        house.app.admit(request)
        return request.key, request.caller

    assert ask() == ("read", "key read")
    settings = ServerSettings(client_header="X-Client")
    monkeypatch.setattr(house.service, "settings", settings)
    assert ask(**{"x-client": "someone"}) == ("read", "someone")
    assert ask() == ("read", "key read")


def test_who_follows_statistics_is_cut_off_when_the_key_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_routes, "_SECONDS", 0.02)
    file = tmp_path / "keys.json"
    texts = [keys.add(file, name, ("read",))[0] for name in ("a", "b")]
    with inside(keys=str(file)) as server:
        streams = []
        for text in texts:
            connection = server.connect()
            connection.request("GET", "/v1/stats", headers={"Authorization": f"Bearer {text}"})
            streams.append(connection.getresponse())
        for stream in streams:
            assert stream.readline().startswith(b": statistics")
        keys.revoke(file, "a")
        server.guards.look()
        assert b"data: " in streams[0].read()  # to its end
        for _ in range(10):
            assert streams[1].readline() != b""  # the other one goes on

"""The description of the server: every route stands in it, and what it says of answers is so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.http.message import Response, error_response
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.rest.openapi.document import document, paths_of
from lrn_deploy.serving.rest.openapi.operations import ABOUT
from lrn_deploy.serving.security import keys
from lrn_deploy.serving.security.guards import Guards
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support import open_inference
from tests.support.image_bundles import colour_bundle, picture

MODEL = "/v2/models/colours"
INFER = MODEL + "/infer"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("colours") / "colours"
    colour_bundle(folder)
    repository = Repository(ModelSettings(max_batch_size=4, threads=1, embed=True))
    repository.load(repository.add(folder, "colours"))
    settings = ServerSettings(
        max_body_bytes=100_000,
        max_images=3,
        access_log="none",
        model_control=True,
        shared_memory=True,
    )
    yield App(Service(repository, settings))
    repository.close(5)


def call(app: App, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
    path, _, query = target.partition("?")
    names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    if body:
        names["content-length"] = str(len(body))
    pairs = dict(part.split("=") for part in query.split("&")) if query else {}
    request = app.begin(method, path, names, pairs, "1.2.3.4:5")
    try:
        app.admit(request)
    except RequestError as error:
        return error_response(error, request.id)
    request.body = body
    return asyncio.run(app.handle(request))


def told(app: App) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(app, "GET", "/openapi.json").body)
    return found


def closed(schema: Any) -> Any:
    """A schema that allows nothing it does not name, so that what is not described is found."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if inner.get("type") == "object" and "properties" in inner:
        inner["additionalProperties"] = False
    return inner


def fault(app: App, method: str, target: str, response: Response) -> str:
    """What the description does not say of an answer; empty if it says all."""
    description = told(app)
    path = target.partition("?")[0]
    fitting = [
        name
        for name, entry in description["paths"].items()
        if method.lower() in entry
        and re.fullmatch(re.sub(r"\{(\w+)\}", "[^/]+", name.replace(".", r"\.")), path)
    ]
    if not fitting:
        return f"{path} is not described"
    answers = description["paths"][min(fitting, key=lambda name: name.count("{"))]
    answer = answers[method.lower()]["responses"].get(str(response.status))
    if answer is None:
        return f"{method} {path} may not answer {response.status}"
    kind = dict(response.headers).get("content-type", "")
    content = answer.get("content", {})
    if not response.body:
        return "" if not kind else f"{kind} without a body"
    if content and kind not in content:
        return f"{method} {path} may not answer {kind}"
    if kind == "application/json" and "schema" in content.get(kind, {}):
        components = closed(description["components"])
        schema = {**content[kind]["schema"], "components": components}
        errors = jsonschema_rs.Draft202012Validator(schema).iter_errors(json.loads(response.body))
        return "; ".join(error.message for error in errors)
    return ""


def infer(**more: Any) -> bytes:
    data = np.ones((1, 3, 8, 8)).ravel().tolist()
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


RED = picture((255, 0, 0))
ASKED: list[tuple[str, str, bytes, dict[str, str], int]] = [
    ("GET", "/v2/health/live", b"", {}, 200),
    ("GET", "/v2/health/ready", b"", {}, 200),
    ("GET", "/v2", b"", {}, 200),
    ("GET", "/v2/", b"", {}, 200),
    ("GET", "/v2/models/stats", b"", {}, 200),
    ("GET", MODEL, b"", {}, 200),
    ("GET", MODEL + "/versions/1", b"", {}, 200),
    ("GET", MODEL + "/versions/2", b"", {}, 404),
    ("GET", "/v2/models/none", b"", {}, 404),
    ("GET", MODEL + "/ready", b"", {}, 200),
    ("GET", "/v2/models/none/ready", b"", {}, 404),
    ("GET", MODEL + "/config", b"", {}, 200),
    ("GET", MODEL + "/stats", b"", {}, 200),
    ("POST", INFER, infer(), {}, 200),
    ("POST", INFER, infer(id="7", outputs=[{"name": "scores"}]), {}, 200),
    (
        "POST",
        INFER,
        infer(outputs=[{"name": "scores", "parameters": {"classification": 2}}]),
        {},
        200,
    ),
    ("POST", INFER, infer(parameters={"binary_data_output": True}), {}, 200),
    ("POST", INFER, b"{", {}, 400),
    ("POST", INFER, infer(inputs=[]), {}, 400),
    ("POST", INFER, bytes(100_001), {}, 413),
    ("POST", INFER, b"no gzip", {"Content_Encoding": "gzip"}, 400),
    ("POST", INFER, infer(), {"Origin": "https://evil.example"}, 403),
    ("POST", INFER, infer(), {"Host": "evil.example"}, 403),
    ("POST", "/v2/models/none/infer", infer(), {}, 404),
    ("POST", "/v2/repository/index", b"", {}, 200),
    ("POST", "/v2/repository/index", b'{"ready": true}', {}, 200),
    ("POST", "/v2/repository/index", b"[]", {}, 400),
    ("POST", "/v2/repository/models/colours/load", b'{"parameters": {"config": "{}"}}', {}, 501),
    ("POST", "/v2/repository/models/colours/load", b"", {}, 200),
    ("POST", "/v2/repository/models/none/unload", b"", {}, 404),
    ("GET", "/v2/systemsharedmemory/status", b"", {}, 200),
    ("GET", "/v2/systemsharedmemory/region/none/status", b"", {}, 404),
    ("POST", "/v2/systemsharedmemory/region/r/register", b"{}", {}, 400),
    ("POST", "/v2/systemsharedmemory/unregister", b"", {}, 200),
    ("POST", "/v1/classify", RED, {}, 200),
    ("POST", "/v1/classify?top=0", RED, {}, 400),
    ("POST", "/v1/classify?model=none", RED, {}, 404),
    ("POST", "/v1/classify", b"no image", {}, 400),
    ("POST", "/v1/embed", RED, {}, 404),
    ("GET", "/v1/models/colours/card", b"", {}, 200),
    ("GET", "/v1/models/colours/report", b"", {}, 404),
    ("POST", "/v1/models/colours/occlude?grid=2", RED, {}, 200),
    ("POST", "/v1/models/colours/occlude?grid=1", RED, {}, 400),
    ("GET", "/", b"", {}, 200),
    ("GET", "/page/app.js", b"", {}, 200),
    ("GET", "/page/none.js", b"", {}, 404),
    ("GET", "/metrics", b"", {}, 200),
    ("GET", "/openapi.json", b"", {}, 200),
]


def test_every_route_is_described_and_nothing_else(app: App) -> None:
    routes = {(route.method, route.path) for route in app._routes}
    assert routes == set(ABOUT)
    described = {
        (method.upper(), path) for path, entry in told(app)["paths"].items() for method in entry
    }
    assert described == {(route.method, path) for route in app._routes for path in paths_of(route)}


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "status"),
    ASKED,
    ids=[f"{method} {target} {status}" for method, target, _, _, status in ASKED],
)
def test_what_is_answered_is_described(
    app: App, method: str, target: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    response = call(app, method, target, body, **headers)
    assert response.status == status, response.body
    assert fault(app, method, target, response) == ""


def test_every_route_is_asked_by_these_tests(app: App) -> None:
    asked = {(method, target.partition("?")[0]) for method, target, *_ in ASKED}
    left = {
        route.path
        for route in app._routes
        if not any(method == route.method and route.match(path) for method, path in asked)
    }
    assert left == {"/v1/stats"}  # a stream; test_stats_routes.py reads it


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (Response(200, (("content-type", "application/json"),), b'{"name": 1}'), "required"),
        (Response(200, (("content-type", "text/html"),), b"{}"), "may not answer text/html"),
        (Response(204), "may not answer 204"),
        (
            Response(
                200,
                (("content-type", "application/json"),),
                b'{"name": "a", "version": "1", "extensions": [], "more": 1}',
            ),
            "'more' was unexpected",
        ),
    ],
)
def test_an_answer_that_is_not_described_is_found(app: App, response: Response, said: str) -> None:
    assert said in fault(app, "GET", "/v2", response)


def test_operations_have_names_of_their_own(app: App) -> None:
    names = [
        operation["operationId"]
        for entry in told(app)["paths"].values()
        for operation in entry.values()
    ]
    assert len(names) == len(set(names))


def test_the_schemas_are_schemas(app: App) -> None:
    for schema in told(app)["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )


def test_keys_are_described_where_they_are_needed(app: App, tmp_path: Path) -> None:
    assert "security" not in told(app)["paths"]["/v2"]["get"]
    keys.add(tmp_path / "keys.json", "a", ("infer",))
    guards = Guards(ServerSettings(keys=str(tmp_path / "keys.json")), print)
    service = Service(
        Repository(ModelSettings()), ServerSettings(access_log="none"), keys=guards.keys
    )
    locked = App(service)
    description = told(locked)
    for path, entry in description["paths"].items():
        for method, operation in entry.items():
            answer = call(locked, method.upper(), re.sub(r"\{\w+\}", "1", path))
            assert (answer.status == 401) == bool(operation["security"]), path
            assert str(answer.status) in operation["responses"], (path, answer.status)
    assert description["paths"]["/metrics"]["get"]["security"] == [{"key": ["read"]}]
    assert document(app._routes, keys=True)["paths"] == description["paths"]


@pytest.mark.parametrize(
    ("target", "body", "name"),
    [
        ("/v2/", b"", "metadata_server_response"),
        (MODEL + "/versions/1", b"", "metadata_model_response"),
        (MODEL + "/versions/1/infer", infer(), "inference_response"),
        (MODEL + "/versions/1/infer", infer(id="7"), "inference_response"),
        (MODEL + "/versions/1/infer", b"{}", "inference_error_response"),
        (MODEL + "/versions/2", b"", "metadata_model_error_response"),
    ],
)
def test_answers_keep_to_the_open_inference_protocols_own_description(
    app: App, target: str, body: bytes, name: str
) -> None:
    answer = json.loads(call(app, "POST" if body else "GET", target, body).body)
    assert open_inference.faults(name, answer) == []
    answer.pop(next(iter(open_inference.SCHEMAS[name]["required"])))
    assert open_inference.faults(name, answer) != []


def test_the_protocols_requests_are_ours(app: App) -> None:
    for body in (infer(), infer(id="7", outputs=[{"name": "scores"}])):
        content = json.loads(body)
        assert open_inference.faults("inference_request", content) == []
        schema = {
            "$ref": "#/components/schemas/InferRequest",
            "components": told(app)["components"],
        }
        jsonschema_rs.Draft202012Validator(schema).validate(content)


def test_every_refusal_that_may_come_is_described_with_its_body(app: App) -> None:
    paths = told(app)["paths"]
    everywhere = {"200", "400", "403", "408", "413", "417", "431", "500", "503"}
    reading, named, running, shared = (
        paths[path][method]["responses"]
        for path, method in (
            ("/v2", "get"),
            ("/v2/models/{model}", "get"),
            ("/v1/classify", "post"),
            ("/v2/systemsharedmemory/status", "get"),
        )
    )
    assert set(reading) == everywhere | {"401", "429"}
    assert set(named) == set(running) == everywhere | {"401", "404", "429"}
    assert set(shared) == everywhere | {"401", "429", "501"}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for answers in (reading, named, running, shared):
        refusals = [answer for status, answer in answers.items() if status != "200"]
        assert all(answer["content"] == error for answer in refusals)
    probe, page = (paths[path]["get"]["responses"] for path in ("/v2/health/ready", "/"))
    assert set(probe) == everywhere
    assert set(page) == everywhere | {"304"}
    bare = probe["200"].keys() | probe["503"].keys() | page["304"].keys()
    assert bare == {"description"}


def test_what_may_be_sent_is_described_as_the_server_takes_it(app: App) -> None:
    paths, schemas = told(app)["paths"], told(app)["components"]["schemas"]

    def limits(path: str) -> dict[tuple[str, str], dict[str, Any]]:
        (operation,) = paths[path].values()
        return {(one["in"], one["name"]): one["schema"] for one in operation["parameters"]}

    assert limits("/v1/classify")["query", "top"] == {
        "type": "integer", "minimum": 1, "maximum": 10_000,
    }  # fmt: skip
    assert limits("/v1/models/{model}/occlude") == {
        ("path", "model"): {"type": "string", "minLength": 1},
        ("query", "grid"): {"type": "integer", "minimum": 2, "maximum": 12},
    }
    length = limits(MODEL.replace("colours", "{model}") + "/infer")
    assert length["header", "Inference-Header-Content-Length"]["minimum"] == 0
    assert schemas["Region"]["properties"]["byte_size"]["minimum"] == 1
    assert schemas["Image"]["properties"]["file"]["maxItems"] == 1
    must = {
        path: operation["requestBody"]["required"]
        for path, entry in paths.items()
        for operation in entry.values()
        if "requestBody" in operation
    }
    assert must == {
        f"/v2/models/{{model}}{version}/infer": True for version in ("", "/versions/{version}")
    } | {
        "/v1/classify": True,
        "/v1/embed": True,
        "/v1/models/{model}/occlude": True,
        "/v2/repository/index": False,
        "/v2/repository/models/{model}/load": False,
        "/v2/repository/models/{model}/unload": False,
        "/v2/systemsharedmemory/region/{region}/register": True,
    }

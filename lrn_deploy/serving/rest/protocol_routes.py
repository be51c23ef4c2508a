"""The paths of the Open Inference Protocol, ``/v2/…``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lrn_deploy.serving.batching.delivery import outcome_of
from lrn_deploy.serving.errors import ForbiddenError, InvalidRequestError, UnsupportedError
from lrn_deploy.serving.http.message import Request, Response, decompress, json_response, parse_json
from lrn_deploy.serving.protocol import metadata as describe
from lrn_deploy.serving.protocol.metadata import VERSION
from lrn_deploy.serving.protocol.parameters import field, whole
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.rest import codec as wire
from lrn_deploy.serving.rest.routes import Match, Route

if TYPE_CHECKING:
    from lrn_deploy.serving.rest.app import App

_MODEL = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[0-9]+))?"
_SHARED = r"/v2/systemsharedmemory(?:/region/(?P<region>[^/]+))?"


class ProtocolRoutes:
    """Health, metadata, statistics, inference, and the repository.

    Args:
        app: What has the models and the settings.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.repository = app.repository
        control = "/v2/repository/models/(?P<model>[^/]+)/(?P<what>load|unload)"
        self.routes = [
            Route("POST", _MODEL + "/infer", self._infer, works=True),
            Route("GET", "/v2/health/live", self._live),
            Route("GET", "/v2/health/ready", self._ready),
            Route("GET", "/v2/?", self._server),
            Route("GET", "/v2/models/stats", self._stats),
            Route("GET", _MODEL, self._model),
            Route("GET", _MODEL + "/ready", self._model_ready),
            Route("GET", _MODEL + "/config", self._config),
            Route("GET", _MODEL + "/stats", self._stats),
            Route("POST", "/v2/repository/index", self._index),
            Route("POST", control, self._control),
            Route("GET", _SHARED + "/status", self._regions),
            Route("POST", _SHARED + "/(?P<what>register|unregister)", self._region),
        ]

    async def _infer(self, request: Request, match: Match) -> Response:
        headers = request.headers
        body = request.body
        encoding = headers.get("content-encoding")
        if encoding:
            body = decompress(body, encoding, self.app.settings.max_body_bytes)
        name, version = match["model"], match["version"] or ""
        model = self.repository.get(name, version)
        message = wire.decode(body, headers.get(wire.HEADER_LENGTH), model.inputs, self.app.memory)
        call = message.call.sent_by(request.caller)
        model, future = self.repository.submit(name, version, call)
        outcome = await outcome_of(future)
        request.timings.append(outcome.timing)
        return wire.encode(message, model, outcome.outputs, self.app.memory)

    def _named(self, match: Match) -> ServedModel:
        return self.repository.get(match["model"], match["version"] or "")

    async def _live(self, _request: Request, _match: Match) -> Response:
        return Response(200 if self.app.live else 503)

    async def _ready(self, _request: Request, _match: Match) -> Response:
        return Response(200 if self.app.ready else 503)

    async def _server(self, _request: Request, _match: Match) -> Response:
        return json_response(describe.server(shared_memory=self.app.memory.enabled))

    async def _model(self, _request: Request, match: Match) -> Response:
        return json_response(describe.metadata(self._named(match)))

    async def _model_ready(self, _request: Request, match: Match) -> Response:
        return Response(200 if self._named(match).ready else 503)

    async def _config(self, _request: Request, match: Match) -> Response:
        return json_response(describe.config(self._named(match)))

    async def _stats(self, _request: Request, match: Match) -> Response:
        one = match.groupdict().get("model")
        models = [self._named(match)] if one else self.repository.models()
        stats = [model.batcher.statistics.snapshot(model.name, VERSION) for model in models]
        return json_response({"model_stats": stats})

    async def _index(self, request: Request, _match: Match) -> Response:
        content = parse_json(request.body) if request.body.strip() else {}
        return json_response(self.repository.index(ready=content.get("ready") is True))

    async def _control(self, request: Request, match: Match) -> Response:
        content = parse_json(request.body) if request.body.strip() else {}
        check_control(content.get("parameters") or (), allowed=self.app.settings.model_control)
        act = self.repository.load if match["what"] == "load" else self.repository.unload
        await asyncio.get_running_loop().run_in_executor(self.app.workers, act, match["model"])
        return Response()

    async def _regions(self, _request: Request, match: Match) -> Response:
        return json_response(self.app.memory.status(match["region"] or ""))

    async def _region(self, request: Request, match: Match) -> Response:
        name = match["region"] or ""
        if match["what"] == "unregister":
            self.app.memory.unregister(name)
            return Response()
        self.app.memory.require()
        if not name:
            raise InvalidRequestError("Say which: /v2/systemsharedmemory/region/NAME/register.")
        content = parse_json(request.body)
        self.app.memory.register(
            name,
            field(content, "key", str, None),
            whole(content, "offset"),
            whole(content, "byte_size"),
        )
        return Response()


def check_control(parameters: Iterable[str], *, allowed: bool) -> None:
    """Refuse to load or unload a model if that is not allowed or not possible this way.

    Args:
        parameters: Names of the request's parameters.
        allowed: Whether clients may at all.

    Raises:
        ForbiddenError: If they may not.
        UnsupportedError: If the parameters ask for what this server does not do.
    """
    if not allowed:
        raise ForbiddenError(
            "Loading and unloading by clients is switched off on this server; "
            "start it with --model-control to allow it."
        )
    if any(name == "config" or name.startswith("file:") for name in parameters):
        raise UnsupportedError("Models are loaded as their bundle has them, without overrides.")

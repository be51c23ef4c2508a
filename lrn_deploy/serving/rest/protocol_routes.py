"""The paths of the Open Inference Protocol, ``/v2/…``."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from functools import partial
from typing import Any

from lrn_deploy.serving.batching.delivery import outcome_of
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.http.message import Response, json_response
from lrn_deploy.serving.protocol.json_text import parse_json
from lrn_deploy.serving.protocol.parameters import field, whole
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest import codec
from lrn_deploy.serving.rest.compression import decompress
from lrn_deploy.serving.rest.routes import Match, Route, answers, tells
from lrn_deploy.serving.service import Service

_MODEL = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[0-9]+))?"
_SHARED = r"/v2/systemsharedmemory(?:/region/(?P<region>[^/]+))?"


class ProtocolRoutes:
    """Health, metadata, statistics, inference, and the repository.

    Args:
        service: What does it all.
        workers: Where models are loaded.
    """

    def __init__(self, service: Service, workers: Executor) -> None:
        self.service = service
        self._workers = workers
        control = "/v2/repository/models/(?P<model>[^/]+)/(?P<what>load|unload)"
        self.routes = [
            Route("POST", _MODEL + "/infer", self._infer, works=True),
            Route("GET", "/v2/health/live", tells(lambda _: service.live)),
            Route("GET", "/v2/health/ready", tells(lambda _: service.ready)),
            Route("GET", "/v2/?", answers(lambda _: service.server())),
            Route("GET", "/v2/models/stats", answers(lambda _: service.statistics())),
            Route("GET", _MODEL, answers(lambda at: service.model_metadata(*_named(at)))),
            Route("GET", _MODEL + "/ready", tells(lambda at: service.model(*_named(at)).ready)),
            Route("GET", _MODEL + "/config", answers(lambda at: service.model_config(*_named(at)))),
            Route("GET", _MODEL + "/stats", answers(lambda at: service.statistics(*_named(at)))),
            Route("POST", "/v2/repository/index", self._index),
            Route("POST", control, self._control),
            Route("GET", _SHARED + "/status", answers(lambda at: service.regions(_region(at)))),
            Route("POST", _SHARED + "/unregister", self._unregister),
            Route("POST", _SHARED + "/register", self._register),
        ]

    async def _infer(self, request: Request, match: Match) -> Response:
        service = self.service
        headers = request.headers
        body = request.body
        encoding = headers.get("content-encoding")
        if encoding:
            body = decompress(body, encoding, service.settings.max_body_bytes)
        name, version = _named(match)
        inputs = service.model(name, version).inputs
        asked = codec.decode(body, headers.get(codec.HEADER_LENGTH), inputs, service.memory)
        model, future = service.infer(request, name, version, asked)
        outcome = await outcome_of(future)
        request.timings.append(outcome.timing)
        return codec.encode(asked, model, outcome.outputs, service.memory)

    async def _index(self, request: Request, _match: Match) -> Response:
        return json_response(self.service.index(ready=_content(request).get("ready") is True))

    async def _control(self, request: Request, match: Match) -> Response:
        parameters = _content(request).get("parameters") or ()
        act = self.service.load if match["what"] == "load" else self.service.unload
        work = partial(act, match["model"], parameters)
        await asyncio.get_running_loop().run_in_executor(self._workers, work)
        return Response()

    async def _register(self, request: Request, match: Match) -> Response:
        self.service.memory.require()
        name = _region(match)
        if not name:
            raise InvalidRequestError("Say which: /v2/systemsharedmemory/region/NAME/register.")
        content = parse_json(request.body)
        key = field(content, "key", str, None)
        self.service.register(name, key, whole(content, "offset"), whole(content, "byte_size"))
        return Response()

    async def _unregister(self, _request: Request, match: Match) -> Response:
        self.service.unregister(_region(match))
        return Response()


def _named(match: Match) -> tuple[str, str]:
    """The model and its version, empty for any."""
    return match["model"], match["version"] or ""


def _region(match: Match) -> str:
    """The region of shared memory; empty for all."""
    return match["region"] or ""


def _content(request: Request) -> dict[str, Any]:
    """The body as JSON; it may be left out."""
    return parse_json(request.body) if request.body.strip() else {}

"""The paths of the Open Inference Protocol, ``/v2/…``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from lrn_deploy.serving.batching.delivery import outcome_of
from lrn_deploy.serving.http.message import Response, json_response
from lrn_deploy.serving.protocol.json_text import parse_json
from lrn_deploy.serving.protocol.parameters import field, flag, whole
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest import codec
from lrn_deploy.serving.rest.compression import decompress
from lrn_deploy.serving.rest.routes import Handler, Match, Route, answers, tells
from lrn_deploy.serving.service import Service

_MODEL = "/v2/models/{model}[/versions/{version}]"
_CONTROL = "/v2/repository/models/{model}"
_SHARED = "/v2/systemsharedmemory[/region/{region}]"
_REGION = "/v2/systemsharedmemory/region/{region}"


class ProtocolRoutes:
    """Health, metadata, statistics, inference, and the repository.

    Args:
        service: What does it all.
        workers: Where models are loaded.
    """

    def __init__(self, service: Service, workers: Executor) -> None:
        self.service = service
        self._workers = workers
        at_model, shared = service.model, answers(lambda at: service.regions(_region(at)))
        metadata = answers(lambda at: service.model_metadata(*_named(at)))
        config = answers(lambda at: service.model_config(*_named(at)))
        statistics = answers(lambda at: service.statistics(*_named(at)))
        load, unload = self._control(service.load), self._control(service.unload)
        self.routes = [
            Route("POST", _MODEL + "/infer", self._infer, "infer", works=True),
            Route("GET", "/v2/health/live", tells(lambda _: service.live), "live"),
            Route("GET", "/v2/health/ready", tells(lambda _: service.ready), "ready"),
            Route("GET", "/v2[/]", answers(lambda _: service.server()), "server"),
            Route("GET", "/v2/models/stats", answers(lambda _: service.statistics()), "statistics"),
            Route("GET", _MODEL, metadata, "model"),
            Route(
                "GET",
                _MODEL + "/ready",
                tells(lambda at: at_model(*_named(at)).ready),
                "model ready",
            ),
            Route("GET", _MODEL + "/config", config, "config"),
            Route("GET", _MODEL + "/stats", statistics, "statistics"),
            Route("POST", "/v2/repository/index", self._index, "index"),
            Route("POST", _CONTROL + "/load", load, "load"),
            Route("POST", _CONTROL + "/unload", unload, "unload"),
            Route("GET", _SHARED + "/status", shared, "regions"),
            Route("POST", _SHARED + "/unregister", self._unregister, "unregister"),
            Route("POST", _REGION + "/register", self._register, "register"),
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
        return json_response(self.service.index(ready=flag(_content(request), "ready")))

    def _control(self, act: Callable[[str, Iterable[str]], None]) -> Handler:
        """What loads or unloads a model, beside everything else."""

        async def answer(request: Request, match: Match) -> Response:
            parameters = field(_content(request), "parameters", dict, {})
            work = partial(act, match["model"], parameters)
            await asyncio.get_running_loop().run_in_executor(self._workers, work)
            return Response()

        return answer

    async def _register(self, request: Request, match: Match) -> Response:
        self.service.memory.require()
        content = parse_json(request.body)
        key = field(content, "key", str, None)
        size, offset = whole(content, "byte_size"), whole(content, "offset")
        self.service.register(match["region"], key, offset, size)
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

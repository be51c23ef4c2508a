"""Every path of the server: a request in, a response out, whatever front it came through."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from lrn_deploy.images.decode import ImageLimits
from lrn_deploy.serving import describe, images, metrics, wire
from lrn_deploy.serving.accesslog import AccessLog
from lrn_deploy.serving.describe import VERSION
from lrn_deploy.serving.errors import (
    InvalidRequestError,
    MethodError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from lrn_deploy.serving.message import (
    Request,
    Response,
    compressed,
    decompress,
    error_response,
    json_response,
    parse_json,
)
from lrn_deploy.serving.pending import Outcome
from lrn_deploy.serving.repository import Repository
from lrn_deploy.serving.settings import ServerSettings

Handler = Callable[[Request, "re.Match[str]"], Awaitable[Response]]
_MODEL = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[0-9]+))?"


class App:
    """Answers requests.

    Args:
        repository: The models.
        settings: Limits and permissions.
        metrics_only: Have nothing but ``/metrics``.
    """

    def __init__(
        self, repository: Repository, settings: ServerSettings, *, metrics_only: bool = False
    ) -> None:
        self.repository = repository
        self.settings = settings
        self.stopping = False
        self.draining = False
        self.in_flight = 0
        self._counting = threading.Lock()
        self.log = AccessLog(settings.access_log)
        self._limits = ImageLimits(
            max_bytes=settings.max_body_bytes, max_pixels=settings.max_pixels
        )
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="app")
        self._routes: list[tuple[re.Pattern[str], str, Handler]] = [
            (re.compile(pattern), method, handler)
            for pattern, method, handler in (
                (_MODEL + "/infer", "POST", self._infer),
                ("/v2/health/live", "GET", self._live),
                ("/v2/health/ready", "GET", self._ready),
                ("/v2/?", "GET", self._server),
                ("/v2/models/stats", "GET", self._stats),
                (_MODEL, "GET", self._model),
                (_MODEL + "/ready", "GET", self._model_ready),
                (_MODEL + "/config", "GET", self._config),
                (_MODEL + "/stats", "GET", self._stats),
                ("/v2/repository/index", "POST", self._index),
                (
                    "/v2/repository/models/(?P<model>[^/]+)/(?P<what>load|unload)",
                    "POST",
                    self._control,
                ),
                ("/v1/classify", "POST", self._classify),
                ("/metrics", "GET", self._metrics),
            )
            if pattern == "/metrics" or not metrics_only
        ]

    @property
    def live(self) -> bool:
        """Whether the process is of any use: some loaded model can run, or none is loaded."""
        models = self.repository.models()
        return not models or any(model.ready for model in models)

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return not self.stopping and any(model.ready for model in self.repository.models())

    def enter(self) -> None:
        """Count a request in; gRPC's come from other threads."""
        with self._counting:
            self.in_flight += 1

    def leave(self) -> None:
        """Count a request out."""
        with self._counting:
            self.in_flight -= 1

    def admit(self, request: Request) -> int:
        """Decide about a request before its body is read.

        Returns:
            The bytes that its body may have.

        Raises:
            RequestError: If it would be refused whatever its body.
        """
        found = self._find(request)
        if self.draining:
            raise UnavailableError("The server is stopping; try another one.")
        length = request.headers.get("content-length", "")
        limit = self.settings.max_body_bytes
        if length.isdecimal() and int(length) > limit:
            raise TooLargeError(
                f"The body has {int(length):,} bytes, more than the limit of {limit:,}."
            )
        if found[1] == self._infer:
            self.repository.get(
                found[0]["model"], found[0]["version"] or ""
            ).batcher.refuse_if_full()
        return limit

    async def handle(self, request: Request) -> Response:
        """Answer a request; never raises, but for cancellation."""
        started = time.monotonic_ns()
        self.enter()
        try:
            match, handler = self._find(request)
            response = await handler(request, match)
            accepted = request.headers.get("accept-encoding")
            if accepted:
                response = compressed(response, accepted)
        except RequestError as error:
            response = self.refusal(request, error, started)
        except Exception as error:  # a bug of ours must not take the server with it
            self.log.bug(request, error)
            response = error_response(
                RequestError("This is a bug in lrn-server; its log has the details."), request.id
            )
            response = Response(500, response.headers, response.body)
        finally:
            self.leave()
        self.log.done(request, response.status, started)
        return response

    def refusal(self, request: Request, error: RequestError, started: int) -> Response:
        """The answer to a request that is refused, also before :meth:`handle`."""
        self.log.refused(request, error, started)
        return error_response(error, request.id)

    def _find(self, request: Request) -> tuple[re.Match[str], Handler]:
        allowed = []
        for pattern, method, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match and (request.method == method or (request.method, method) == ("HEAD", "GET")):
                return match, handler
            if match:
                allowed.append(method)
        if allowed:
            raise MethodError(
                f"{request.method} is not possible on '{request.path}'; use {allowed[0]}."
            )
        if request.path.startswith(
            ("/v2/systemsharedmemory", "/v2/cudasharedmemory", "/v2/trace", "/v2/logging")
        ):
            raise UnsupportedError(f"This server has no '{request.path}'.")
        raise NotFoundError(f"There is nothing at '{request.path[:200]}'.")

    async def _infer(self, request: Request, match: re.Match[str]) -> Response:
        headers = request.headers
        body = request.body
        encoding = headers.get("content-encoding")
        if encoding:
            body = decompress(body, encoding, self.settings.max_body_bytes)
        name, version = match["model"], match["version"] or ""
        model = self.repository.get(name, version)
        message = wire.decode(body, headers.get(wire.HEADER_LENGTH), model.inputs)
        model, future = self.repository.submit(name, version, message.call)
        outcome: Outcome = await asyncio.wrap_future(future)
        return wire.encode(message, model, outcome.outputs)

    async def _classify(self, request: Request, _match: re.Match[str]) -> Response:
        started = time.monotonic_ns()
        top = _number(request.query.get("top", str(images.DEFAULT_TOP)), "top")
        model = self.repository.get(request.query.get("model") or self._only_model())
        files = images.files(
            request.headers.get("content-type", ""), request.body, self.settings.max_images
        )
        loop = asyncio.get_running_loop()
        prepared = await asyncio.gather(
            *(
                loop.run_in_executor(
                    self._workers, images.prepare, model, name, content, self._limits
                )
                for name, content in files
            )
        )
        decoded = time.monotonic_ns()
        futures = []
        try:
            for one in prepared:
                if one.call is not None:
                    futures.append(self.repository.submit(model.name, "", one.call)[1])
            outcomes = await asyncio.gather(*(asyncio.wrap_future(one) for one in futures))
        except BaseException:
            images.cancel(futures)
            raise
        answer = images.finish(model, prepared, outcomes, top=top, started=started, decoded=decoded)
        failed = all(result["error"] for result in answer["results"])
        if failed:
            message = "; ".join(result["error"] for result in answer["results"])
            raise InvalidRequestError(message)
        return json_response(answer)

    def _only_model(self) -> str:
        names = [model.name for model in self.repository.models()]
        if len(names) != 1:
            raise InvalidRequestError(
                f"Say which model: /v1/classify?model=NAME; there is {', '.join(names) or 'none'}."
            )
        return names[0]

    async def _live(self, _request: Request, _match: re.Match[str]) -> Response:
        return Response(200 if self.live else 503)

    async def _ready(self, _request: Request, _match: re.Match[str]) -> Response:
        return Response(200 if self.ready else 503)

    async def _server(self, _request: Request, _match: re.Match[str]) -> Response:
        return json_response(describe.server())

    async def _model(self, _request: Request, match: re.Match[str]) -> Response:
        model = self.repository.get(match["model"], match["version"] or "")
        return json_response(describe.metadata(model))

    async def _model_ready(self, _request: Request, match: re.Match[str]) -> Response:
        model = self.repository.get(match["model"], match["version"] or "")
        return Response(200 if model.ready else 503)

    async def _config(self, _request: Request, match: re.Match[str]) -> Response:
        model = self.repository.get(match["model"], match["version"] or "")
        return json_response(describe.config(model))

    async def _stats(self, _request: Request, match: re.Match[str]) -> Response:
        groups = match.groupdict()
        if name := groups.get("model"):
            models = [self.repository.get(name, groups["version"] or "")]
        else:
            models = self.repository.models()
        stats = [one.batcher.statistics.snapshot(one.name, VERSION) for one in models]
        return json_response({"model_stats": stats})

    async def _index(self, request: Request, _match: re.Match[str]) -> Response:
        content = parse_json(request.body) if request.body.strip() else {}
        return json_response(self.repository.index(ready=content.get("ready") is True))

    async def _control(self, request: Request, match: re.Match[str]) -> Response:
        content = parse_json(request.body) if request.body.strip() else {}
        self.check_control(content.get("parameters") or ())
        act = self.repository.load if match["what"] == "load" else self.repository.unload
        await asyncio.get_running_loop().run_in_executor(self._workers, act, match["model"])
        return Response()

    def check_control(self, parameters: Iterable[str]) -> None:
        """Refuse to load or unload a model if that is not allowed or not possible this way.

        Args:
            parameters: Names of the request's parameters.
        """
        if not self.settings.model_control:
            raise InvalidRequestError(
                "Loading and unloading by clients is switched off on this server."
            )
        if any(name == "config" or name.startswith("file:") for name in parameters):
            raise UnsupportedError("Models are loaded as their bundle has them, without overrides.")

    async def _metrics(self, _request: Request, _match: re.Match[str]) -> Response:
        text = metrics.render(self.repository.models())
        return Response(200, (("content-type", metrics.CONTENT_TYPE),), text.encode())


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 10_000:
        raise InvalidRequestError(f"'{name}' must be from 1 to 10000, got '{text[:20]}'.")
    return int(text)

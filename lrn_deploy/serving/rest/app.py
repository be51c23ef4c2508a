"""A request in, a response out, whatever front it came through; and who is let in."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from lrn_deploy.serving.errors import (
    MethodError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)
from lrn_deploy.serving.http.message import Request, Response, compressed, error_response
from lrn_deploy.serving.protocol.shared_memory import SharedMemory
from lrn_deploy.serving.rate_limit import RateLimiter, client_name
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.rest.image_routes import ImageRoutes
from lrn_deploy.serving.rest.origins import Origins
from lrn_deploy.serving.rest.protocol_routes import ProtocolRoutes
from lrn_deploy.serving.rest.routes import Handler, Match, Route
from lrn_deploy.serving.rest.stats_routes import EventRoutes
from lrn_deploy.serving.settings import ServerSettings
from lrn_deploy.serving.telemetry import metrics, stderr
from lrn_deploy.serving.telemetry.access_log import AccessLog, request_id
from lrn_deploy.serving.telemetry.spans import Spans
from lrn_deploy.serving.telemetry.trace import REQUEST_HEADER, trace_of

_MANY_PATHS = 128  # that are remembered, with their routes
_ABSENT = ("/v2/cudasharedmemory", "/v2/trace", "/v2/logging")


class App:
    """Answers requests.

    Args:
        repository: The models.
        settings: Limits and permissions.
        metrics_only: Have nothing but ``/metrics``.
        spans: Where traces go; None if nowhere.
    """

    def __init__(
        self,
        repository: Repository,
        settings: ServerSettings,
        *,
        metrics_only: bool = False,
        spans: Spans | None = None,
    ) -> None:
        self.repository = repository
        self.settings = settings
        self.stopping = False
        self.drained = asyncio.Event()
        self.in_flight = 0
        self._counting = threading.Lock()
        self.log = AccessLog(settings.access_log, spans)
        self.memory = SharedMemory(enabled=settings.shared_memory)
        self.origins = Origins(settings)
        self.limiter = RateLimiter(settings.rate_limit)
        self.workers = ThreadPoolExecutor(4, thread_name_prefix="app")
        self._routes = [Route("GET", "/metrics", self._metrics)]
        if not metrics_only:
            groups = (ProtocolRoutes(self), ImageRoutes(self), EventRoutes(self))
            self._routes = [route for group in groups for route in group.routes] + self._routes
        self._route = lru_cache(_MANY_PATHS)(self._find)

    @property
    def live(self) -> bool:
        """Whether the process is of any use: some loaded model can run, or none is loaded."""
        models = self.repository.models()
        return not models or any(model.ready for model in models)

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return not self.stopping and any(model.ready for model in self.repository.models())

    @property
    def draining(self) -> bool:
        """Whether no new request is taken any more."""
        return self.drained.is_set()

    def enter(self) -> None:
        """Count a request in; gRPC's come from other threads."""
        with self._counting:
            self.in_flight += 1

    def leave(self) -> None:
        """Count a request out."""
        with self._counting:
            self.in_flight -= 1

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        client: str,
    ) -> Request:
        """A request of which the body is still to come, with its id, its caller and its trace.

        Args:
            method: HTTP's method, or ``gRPC``.
            path: The path, or the name of gRPC's method.
            headers: Names in lower case.
            query: Parameters of the query.
            client: Address of the peer.
        """
        settings = self.settings
        claimed = headers.get(settings.client_header.lower()) if settings.client_header else None
        return Request(
            method,
            path,
            headers,
            query,
            id=request_id(headers.get("x-request-id")),
            client=client,
            caller=client_name(client, claimed),
            trace=trace_of(headers.get(REQUEST_HEADER), settings.trace_sample),
        )

    def admit(self, request: Request) -> int:
        """Decide about a request before its body is read.

        Returns:
            The bytes that its body may have.

        Raises:
            RequestError: If it would be refused whatever its body.
        """
        self.origins.check_host(request.headers.get("host"))
        match, route = self._route(request.method, request.path)
        if route.guarded:
            self.origins.check_page(request.headers)
        if self.draining:
            raise UnavailableError("The server is stopping; try another one.")
        length = request.headers.get("content-length", "")
        limit = self.settings.max_body_bytes
        if length.isdecimal() and int(length) > limit:
            raise TooLargeError(
                f"The body has {int(length):,} bytes, more than the limit of {limit:,}."
            )
        if route.works:
            self.limiter.take(request.caller, time.monotonic())
            groups = match.groupdict()
            if name := groups.get("model") or request.query.get("model"):
                model = self.repository.get(name, groups.get("version") or "")
                model.batcher.refuse_if_full(request.caller)
        return limit

    async def handle(self, request: Request) -> Response:
        """Answer a request; never raises, but for cancellation."""
        started = time.monotonic_ns()
        self.enter()
        try:
            match, route = self._route(request.method, request.path)
            response = await route.handler(request, match)
            accepted = request.headers.get("accept-encoding")
            if accepted:
                response = compressed(response, accepted)
        except RequestError as error:
            response = self.refusal(request, error, started)
        except Exception as error:  # a bug of ours must not take the server with it
            self.log.bug(request, error, started)
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

    def _find(self, method: str, path: str) -> tuple[Match, Route]:
        methods: tuple[str, ...] = ()
        for route in self._routes:
            match = route.match(path)
            if match and route.takes(method):
                return match, route
            if match:
                methods += route.methods
                seen = match
        if methods and self.origins.shared:
            methods += ("OPTIONS",)
            if method == "OPTIONS":
                return seen, Route("OPTIONS", "", self._preflight(methods), guarded=False)
        if methods:
            raise MethodError(f"{method} is not possible on '{path}'; use {methods[0]}.", methods)
        if path.startswith(_ABSENT):
            raise UnsupportedError(f"This server has no '{path}'.")
        raise NotFoundError(f"There is nothing at '{path[:200]}'.")

    def _preflight(self, methods: tuple[str, ...]) -> Handler:
        async def answer(request: Request, _match: Match) -> Response:
            return self.origins.preflight(request, methods)

        return answer

    async def _metrics(self, _request: Request, _match: Match) -> Response:
        models = self.repository.models()
        text = metrics.render(models, self.limiter.refused, stderr.dropped())
        return Response(200, (("content-type", metrics.CONTENT_TYPE),), text.encode())

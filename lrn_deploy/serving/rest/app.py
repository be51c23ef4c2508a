"""The service over HTTP: which path is which operation, and which pages may ask for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache

from lrn_deploy.serving.errors import (
    MethodError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnsupportedError,
)
from lrn_deploy.serving.http.message import Response, error_response, json_response
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.compression import compressed
from lrn_deploy.serving.rest.image_routes import ImageRoutes
from lrn_deploy.serving.rest.origins import Headers, Origins
from lrn_deploy.serving.rest.page_routes import PageRoutes
from lrn_deploy.serving.rest.protocol_routes import ProtocolRoutes
from lrn_deploy.serving.rest.routes import Handler, Match, Route
from lrn_deploy.serving.rest.stats_routes import StatsRoutes
from lrn_deploy.serving.service import Service

_MANY_PATHS = 128  # that are remembered, with their routes
_ABSENT = ("/v2/cudasharedmemory", "/v2/trace", "/v2/logging")


class App:
    """Answers requests; what :class:`lrn_deploy.serving.http.handler.Handler` asks for.

    Args:
        service: What does it all.
        metrics_only: Have nothing but ``/metrics``.
    """

    def __init__(self, service: Service, *, metrics_only: bool = False) -> None:
        settings = service.settings
        self.service = service
        self.origins = Origins(settings)
        self.begin = service.begin
        self.bug = service.log.bug
        self.body_limit = settings.max_body_bytes
        self.body_seconds = settings.body_seconds
        self.answer_seconds = settings.answer_seconds
        workers = ThreadPoolExecutor(4, thread_name_prefix="app")
        stats = StatsRoutes(service)
        self._routes = [stats.metrics]
        if not metrics_only:
            groups = (
                ProtocolRoutes(service, workers),
                ImageRoutes(service, workers),
                PageRoutes(service, workers),
                stats,
            )
            self._routes = [route for group in groups for route in group.routes] + self._routes
            self._routes.append(Route("GET", "/openapi.json", self._describe, "description"))
        self._route = lru_cache(_MANY_PATHS)(self._find)

    @property
    def stopping(self) -> bool:
        """Whether connections should end with the next answer."""
        return self.service.stopping

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
        self.service.admit()
        self.service.authorize(request, route.scope)
        length = request.headers.get("content-length", "")
        limit = self.body_limit
        if length.isdecimal() and int(length) > limit:
            raise TooLargeError(
                f"The body has {int(length):,} bytes, more than the limit of {limit:,}."
            )
        if route.works:
            groups = match.groupdict()
            name = groups.get("model") or request.query.get("model")
            self.service.admit_work(request, name, groups.get("version") or "")
        return limit

    async def handle(self, request: Request) -> Response:
        """Answer a request; never raises, but for cancellation."""
        with self.service.answering(request) as answering:
            match, route = self._route(request.method, request.path)
            response = await route.handler(request, match)
            accepted = request.headers.get("accept-encoding")
            if accepted:
                response = compressed(response, accepted)
            answering.status = response.status
            return response
        return error_response(answering.refusal, request.id)

    def refusal(self, request: Request, error: RequestError, started: int) -> Response:
        """The answer to a request that is refused before :meth:`handle`."""
        self.service.log.refused(request, error, started)
        return error_response(error, request.id)

    def answer_headers(self, request: Request) -> Headers:
        """What lets a page of another origin read the answer, where any may."""
        return self.origins.answer_headers(request.headers) if self.origins.shared else ()

    async def _describe(self, _request: Request, _match: Match) -> Response:
        return self._description

    @cached_property
    def _description(self) -> Response:
        """All routes as OpenAPI, written down when the first one asks."""
        from lrn_deploy.serving.rest.openapi.document import document

        return json_response(document(self._routes, keys=self.service.keys is not None))

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
                return seen, Route(
                    "OPTIONS", "", self._preflight(methods), "preflight", guarded=False
                )
        if methods:
            raise MethodError(f"{method} is not possible on '{path}'; use {methods[0]}.", methods)
        if path.startswith(_ABSENT):
            raise UnsupportedError(f"This server has no '{path}'.")
        raise NotFoundError(f"There is nothing at '{path[:200]}'.")

    def _preflight(self, methods: tuple[str, ...]) -> Handler:
        async def answer(request: Request, _match: Match) -> Response:
            return self.origins.preflight(request, methods)

        return answer

"""What stands before the replicas: our own HTTP, which hands on what it lets in.

Keys, limits and what belongs to a connection are settled here, once for all replicas. What a
replica took along when it died is sent to another: an inference changes nothing, so it may run
twice.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from lrn_deploy.cluster.serve.metrics import merged
from lrn_deploy.cluster.serve.replica import Asked
from lrn_deploy.serving.errors import BugError, UnavailableError, UnsupportedError
from lrn_deploy.serving.http.message import Response, error_response
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.security.key_ring import KeyRing
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from lrn_deploy.serving.telemetry.metrics import CONTENT_TYPE
from lrn_deploy.serving.telemetry.spans import Spans
from lrn_deploy.serving.trace import REQUEST_HEADER

_HERE = frozenset({"/v2/health/live", "/openapi.json"})
_READY = "/v2/health/ready"
_READY_SECONDS = 2.0
_METRICS_SECONDS = 5.0
_AGAIN_SECONDS = 0.05  # before a request that was lost is sent again
_MOST_LOST = 20  # times that one request is lost, before it is held to be what kills


class FrontService(Service):
    """Who is let in; the models are elsewhere.

    Args:
        settings: Limits and permissions.
        spans: Where traces go; None if nowhere.
        keys: Who is let in; None: everyone.
    """

    def __init__(
        self, settings: ServerSettings, *, spans: Spans | None = None, keys: KeyRing | None = None
    ) -> None:
        super().__init__(Repository(ModelSettings()), settings, spans=spans, keys=keys)

    def admit_work(self, request: Request, _name: str | None, _version: str = "") -> None:
        """Count a request for its caller's rate; whether its model has room, a replica knows."""
        self.limiter.take(request.caller, time.monotonic())


class Front(App):
    """Hands requests to replicas.

    Args:
        service: Who is let in.
        replicas: Ray Serve's handle of the deployment.
        seconds: What a request may take with all its replicas; None: any time.

    Attributes:
        lost: How often a request was sent again since its replica was gone.
    """

    def __init__(self, service: Service, replicas: Any, seconds: float | None) -> None:
        super().__init__(service)
        self._replicas = replicas
        self._seconds = seconds
        self.lost = 0

    async def handle(self, request: Request) -> Response:
        """Answer a request; never raises, but for cancellation."""
        if request.path in _HERE:
            return await super().handle(request)
        with self.service.answering(request) as answering:
            self._route(request.method, request.path)  # what there is not, no replica need say
            if request.path == "/metrics":
                response = await self._metrics()
            elif request.path == "/v1/stats":
                raise UnsupportedError("The replicas have no common statistics; ask /metrics.")
            elif request.path == _READY:
                response = await self._ready(request)
            else:
                response = await self._ask(request, self._seconds)
            answering.status = response.status
            return response
        return error_response(answering.refusal, request.id)

    async def _ready(self, request: Request) -> Response:
        """As the replica says that is asked; not ready if there is none."""
        if self.service.stopping:
            return Response(503)
        try:
            return await self._ask(request, _READY_SECONDS)
        except UnavailableError:
            return Response(503)

    async def _metrics(self) -> Response:
        text = merged(dict(await self._told()))
        text += "# HELP lrn_replicas_lost Requests that were sent again, their replica being gone\n"
        text += f"# TYPE lrn_replicas_lost counter\nlrn_replicas_lost {self.lost}\n"
        return Response(200, (("content-type", CONTENT_TYPE),), text.encode())

    async def _told(self) -> list[tuple[str, str]]:
        """What each replica counts, as soon as none is among them that has just died."""
        from ray.exceptions import RayError

        limit = time.monotonic() + _METRICS_SECONDS
        while (left := limit - time.monotonic()) > 0:
            try:
                told: list[tuple[str, str]] = await self._replicas.broadcast(
                    "metrics"
                ).results_async(timeout_s=left)
                return told
            except RayError:
                await asyncio.sleep(_AGAIN_SECONDS)
            except TimeoutError:
                break
        raise UnavailableError("Not every replica has told its counters in time.")

    async def _ask(self, request: Request, seconds: float | None) -> Response:
        headers = {**request.headers, "x-request-id": request.id}
        if request.trace is not None:
            headers[REQUEST_HEADER] = request.trace.header
        asked = Asked(
            request.method,
            request.path,
            headers,
            request.query,
            bytes(request.body),
            request.peer,
        )
        try:
            async with asyncio.timeout(seconds):
                return await self._sent(asked)
        except TimeoutError:
            raise UnavailableError(f"No replica has answered within {seconds:g} s.") from None

    async def _sent(self, asked: Asked) -> Response:
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import BackPressureError, RayServeException

        for _ in range(_MOST_LOST):
            response = self._replicas.answer.remote(asked)
            try:
                answer: Response = await response
                return answer
            except asyncio.CancelledError:
                response.cancel()
                raise
            except BackPressureError as error:
                raise UnavailableError("More requests wait than may.") from error
            except RayTaskError:  # the replica is there, and has a bug
                raise
            except (RayError, RayServeException):
                self.lost += 1
                await asyncio.sleep(_AGAIN_SECONDS)
        raise BugError(f"{_MOST_LOST} replicas have ended while they answered this request.")

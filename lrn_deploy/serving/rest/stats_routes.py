"""What the server does, for dashboards: ``GET /metrics``, and ``GET /v1/stats``, once a second.

The latter are Server-Sent Events.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from lrn_deploy.serving.errors import UnavailableError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.routes import Match, Route
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.telemetry.interval import Interval
from lrn_deploy.serving.telemetry.metrics import CONTENT_TYPE

_SECONDS = 1.0
_MAX_STREAMS = 32
_HEADERS = (("content-type", "text/event-stream"), ("cache-control", "no-store"))


class StatsRoutes:
    """The stream of statistics, and the counters.

    Args:
        service: What has the models.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.streams = 0
        self.metrics = Route("GET", "/metrics", self._metrics, "metrics")
        self.routes = [Route("GET", "/v1/stats", self._stats, "statistics", guarded=True)]

    async def _metrics(self, _request: Request, _match: Match) -> Response:
        return Response(200, (("content-type", CONTENT_TYPE),), self.service.metrics().encode())

    async def _stats(self, request: Request, _match: Match) -> Response:
        if self.streams >= _MAX_STREAMS:
            raise UnavailableError(f"{_MAX_STREAMS} streams are open, which is the limit.")
        return Response(200, _HEADERS, stream=self._events(request))

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        """One event a second until no more requests are taken, or the caller's key is not."""
        service = self.service
        self.streams += 1
        try:
            interval = Interval(service.repository.models(), time.monotonic_ns())
            yield b": statistics of the last second, once a second\n\n"
            while not service.draining and service.still_allows(request, "statistics"):
                with suppress(TimeoutError):
                    await asyncio.wait_for(service.drained.wait(), _SECONDS)
                models = service.repository.models()
                content = {
                    "ready": service.ready,
                    "rate_limited": service.limiter.refused,
                    **interval.next(models, time.monotonic_ns()),
                }
                yield f"data: {json.dumps(content)}\n\n".encode()
        finally:
            self.streams -= 1

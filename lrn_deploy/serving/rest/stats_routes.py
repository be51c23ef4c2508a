"""``GET /v1/stats``: what the server does, once a second, as Server-Sent Events for dashboards."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lrn_deploy.serving.batching.statistics import Statistics
from lrn_deploy.serving.errors import UnavailableError
from lrn_deploy.serving.http.message import Request, Response
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.rest.routes import Match, Route

if TYPE_CHECKING:
    from lrn_deploy.serving.rest.app import App

_SECONDS = 1.0
_MAX_STREAMS = 32
_HEADERS = (("content-type", "text/event-stream"), ("cache-control", "no-store"))


class EventRoutes:
    """The stream of statistics.

    Args:
        app: What has the models.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.streams = 0
        self.routes = [Route("GET", "/v1/stats", self._stats, guarded=True)]

    async def _stats(self, _request: Request, _match: Match) -> Response:
        if self.streams >= _MAX_STREAMS:
            raise UnavailableError(f"{_MAX_STREAMS} streams are open, which is the limit.")
        return Response(200, _HEADERS, stream=self._events())

    async def _events(self) -> AsyncIterator[bytes]:
        """One event a second until no more requests are taken."""
        self.streams += 1
        try:
            interval = Interval(self.app.repository.models(), time.monotonic_ns())
            yield b": statistics of the last second, once a second\n\n"
            while not self.app.draining:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.app.drained.wait(), _SECONDS)
                models = self.app.repository.models()
                content = {
                    "ready": self.app.ready,
                    "rate_limited": self.app.limiter.refused,
                    **interval.next(models, time.monotonic_ns()),
                }
                yield f"data: {json.dumps(content)}\n\n".encode()
        finally:
            self.streams -= 1


class Interval:
    """What has happened since it was last asked.

    Args:
        models: Those there are at its beginning.
        now: Nanoseconds of the monotonic clock.
    """

    def __init__(self, models: Sequence[ServedModel], now: int) -> None:
        self._since = now
        self._before = {one.name: _Counts(one.batcher.statistics) for one in models}

    def next(self, models: Sequence[ServedModel], now: int) -> dict[str, Any]:
        """The interval's seconds, and what each model did in them."""
        since, self._since = self._since, now
        before, self._before = self._before, {}
        entries = []
        for model in models:
            statistics = model.batcher.statistics
            counts = self._before[model.name] = _Counts(statistics)
            last = before.get(model.name)
            # A model that was loaded anew counts from 0.
            zero = last is None or last.statistics is not statistics
            old = _Counts(Statistics()) if zero or last is None else last
            entries.append(_entry(model, old, counts, statistics.durations_since(since)))
        return {"seconds": (now - since) / 1e9, "models": entries}


class _Counts:
    """A model's counters at one moment."""

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        self.requests = statistics.success.count
        self.rows = statistics.rows
        self.batches = statistics.batch_sizes()
        self.failures = dict(statistics.failures)


def _entry(model: ServedModel, old: _Counts, new: _Counts, durations: list[int]) -> dict[str, Any]:
    queue = model.batcher.pending
    return {
        "name": model.name,
        "ready": model.ready,
        "doubts": list(model.doubts),
        "requests": new.requests - old.requests,
        "rows": new.rows - old.rows,
        "batches": _increase(old.batches, new.batches),
        "failures": _increase(old.failures, new.failures),
        "queue": {"requests": queue.requests, "rows": queue.rows, "bytes": queue.bytes},
        "running": model.batcher.running,
        "p50_ms": percentile(durations, 50),
        "p99_ms": percentile(durations, 99),
    }


def _increase(old: dict[Any, int], new: dict[Any, int]) -> dict[str, int]:
    return {
        str(key): count - old.get(key, 0) for key, count in new.items() if count > old.get(key, 0)
    }


def percentile(nanoseconds: Sequence[int], percent: float) -> float | None:
    """The nearest-rank percentile in milliseconds; None if there is nothing."""
    if not nanoseconds:
        return None
    rank = math.ceil(percent / 100 * len(nanoseconds))
    return sorted(nanoseconds)[max(rank, 1) - 1] / 1e6

"""What became of each request, as lines of JSON on stderr."""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import Any, Literal

from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.telemetry.spans import Spans


class AccessLog:
    """Writes a line for each request, or for each that failed, or none.

    Args:
        level: ``all``, ``errors`` (status 400 and above) or ``none``.
        spans: Where traces go; None if nowhere.
    """

    def __init__(self, level: Literal["none", "errors", "all"], spans: Spans | None = None) -> None:
        self._level = level
        self._spans = spans

    def done(self, request: Request, status: int, started: int) -> None:
        """A request was answered; what was refused or failed is told by the others."""
        if status >= 400:
            return
        if self._spans is not None:
            self._spans.record(request, status, started)
        if self._level == "all":
            self._write(request, status, started)

    def refused(self, request: Request, error: RequestError, started: int) -> None:
        """A request was refused, for the reason that ``error`` gives."""
        if self._spans is not None:
            self._spans.record(request, error.status, started, error.message)
        if self._level != "none":
            self._write(request, error.status, started, error=error.message)

    def bug(self, request: Request, error: Exception, started: int) -> None:
        """Something that we did not foresee: always written, with its traceback."""
        if self._spans is not None:
            self._spans.record(request, 500, started, repr(error))
        trace = "".join(traceback.format_exception(error))
        self._write(request, 500, started, error=repr(error), traceback=trace)

    def _write(self, request: Request, status: int, started: int, **more: Any) -> None:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z",
            "id": request.id,
            "client": request.peer,
            **({"key": request.key} if request.key else {}),
            "method": request.method,
            "path": request.path,
            "status": status,
            "ms": round((time.monotonic_ns() - started) / 1e6, 3),
            **_stages(request),
            **({"trace": request.trace.trace, "span": request.trace.span} if request.trace else {}),
            **more,
        }
        sys.stderr.write(json.dumps(line) + "\n")


def _stages(request: Request) -> dict[str, Any]:
    """What ran for it: the longest wait and compute, in milliseconds, and the largest batch."""
    timings = request.timings
    if not timings:
        return {}
    return {
        "queue_ms": round(max(timing.queue for timing in timings) / 1e6, 3),
        "compute_ms": round(max(timing.compute for timing in timings) / 1e6, 3),
        "batch": max(timing.batch_rows for timing in timings),
    }

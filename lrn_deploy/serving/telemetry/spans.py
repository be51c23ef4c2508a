"""OpenTelemetry: each sampled request as a span, with its wait and its compute below it.

Only where the environment names a collector, as OpenTelemetry has it: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS and their kin.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from lrn_deploy import __version__
from lrn_deploy.extras import install
from lrn_deploy.serving.request import Request

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


class Spans:
    """Sends spans to a collector by OTLP over HTTP, from a thread of its own.

    Raises:
        ImportError: If opentelemetry-sdk or its exporter is not installed.
    """

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._api: Any = trace
        self._span: Any = ReadableSpan
        name = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "lrn-server"}
        self._resource: Any = Resource.create(name)
        self._scope: Any = InstrumentationScope("lrn_deploy.serving", __version__)
        self._processor: Any = BatchSpanProcessor(OTLPSpanExporter())

    def record(self, request: Request, status: int, started: int, error: str = "") -> None:
        """Send a request that has been answered, if its trace is sampled.

        Args:
            request: The request.
            status: HTTP's.
            started: When it came, in nanoseconds of the monotonic clock.
            error: Why it was refused, if it was.
        """
        place = request.trace
        if place is None or not place.sampled:
            return
        now = time.monotonic_ns()
        trace, own = int(place.trace, 16), int(place.span, 16)
        attributes = {
            "http.request.method": request.method,
            "url.path": request.path,
            "http.response.status_code": status,
            "client.address": request.peer,
            "lrn.request_id": request.id,
        }
        parent = int(place.parent, 16) if place.parent else 0
        kind, name = self._api.SpanKind.SERVER, f"{request.method} {request.path}"
        self._send(trace, own, parent, name, started, now, attributes, kind=kind, error=error)
        kind = self._api.SpanKind.INTERNAL
        for timing in request.timings:
            formed = timing.arrived + timing.queue
            ends = formed + timing.compute
            rows = {"lrn.batch_rows": timing.batch_rows}
            self._send(trace, _new(), own, "queue", timing.arrived, formed, {}, kind=kind)
            self._send(trace, _new(), own, "compute", formed, ends, rows, kind=kind)

    def close(self) -> None:
        """Send what is left."""
        self._processor.shutdown()

    def _send(
        self,
        trace: int,
        span: int,
        parent: int,
        name: str,
        started: int,
        ended: int,
        attributes: dict[str, Any],
        *,
        kind: Any,
        error: str = "",
    ) -> None:
        api = self._api
        epoch = time.time_ns() - time.monotonic_ns()
        sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
        code = api.StatusCode.ERROR if error else api.StatusCode.UNSET
        self._processor.on_end(
            self._span(
                name=name,
                context=api.SpanContext(trace, span, is_remote=False, trace_flags=sampled),
                parent=api.SpanContext(trace, parent, is_remote=True) if parent else None,
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                instrumentation_scope=self._scope,
                status=api.Status(code, error or None),
                start_time=started + epoch,
                end_time=ended + epoch,
            )
        )


def start(say: Callable[[str], None]) -> Spans | None:
    """What sends spans, if the environment names a collector and the packages are there.

    Args:
        say: Prints a line for people.
    """
    if not (os.environ.get(ENDPOINT) or os.environ.get(_TRACES_ENDPOINT)):
        return None
    try:
        return Spans()
    except ImportError as error:
        say(
            f"Traces are not exported: {error.name} is not installed. "
            f"Install it with: {install('otel')}"
        )
        return None


def _new() -> int:
    return int(secrets.token_hex(8), 16)

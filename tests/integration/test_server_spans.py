"""Spans as a collector gets them, from a real server by OpenTelemetry's own exporter."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.extras import install
from tests.support.image_bundles import colour_bundle
from tests.support.servers import serving

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
BODY = json.dumps(
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0] * 192}]}
).encode()


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An address that takes OTLP over HTTP, and the messages that came."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


def test_a_request_its_wait_and_its_compute_reach_the_collector(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    colour_bundle(tmp_path / "b")
    with collector() as (address, bodies):
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": address}
        with serving(tmp_path / "b", "--access-log", "none", env=environment) as running:
            path = "/v2/models/colours/infer"
            header = f"00-{TRACE}-{PARENT}-01"
            answer = running.call("POST", path, BODY, traceparent=header)
            running.call("POST", path, b"{", traceparent=header)
            running.call("POST", path, BODY, traceparent=header[:-1] + "0")  # not sampled
            running.call("POST", path, BODY)
        spans = []
        for body in bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {item.key: item.value.string_value for item in resource.resource.attributes}
                assert names["service.name"] == "lrn-server"
                spans += [span for scope in resource.scope_spans for span in scope.spans]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert sorted(span.name for span in spans) == ["POST " + path] * 2 + ["compute", "queue"]
    own = answer.headers["traceresponse"].split("-")[2]
    (request,) = [span for span in spans if span.span_id.hex() == own]
    (refused,) = [span for span in spans if span.name == request.name and span is not request]
    assert request.parent_span_id.hex() == refused.parent_span_id.hex() == PARENT
    assert refused.status.code == 2  # error
    assert "Failed to parse" in refused.status.message
    queue, compute = (
        next(span for span in spans if span.name == name) for name in ("queue", "compute")
    )
    assert {queue.parent_span_id.hex(), compute.parent_span_id.hex()} == {own}
    slack = 1_000_000  # the two clocks are read one after the other
    times = [
        request.start_time_unix_nano,
        queue.start_time_unix_nano,
        compute.start_time_unix_nano,
        compute.end_time_unix_nano,
        request.end_time_unix_nano,
    ]
    assert all(a <= b + slack for a, b in itertools.pairwise(times))


def test_without_the_packages_it_says_how_to_get_them_and_serves(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "b")
    blocked = tmp_path / "blocked" / "opentelemetry"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('gone', name='opentelemetry')")
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "PYTHONPATH": str(blocked.parent),
    }
    with serving(tmp_path / "b", env=environment) as running:
        assert running.call("GET", "/v2/health/ready").status == 200
        assert install("otel") in running.said()

"""Everything that can be set: name, default, range and meaning stand here and only here.

The command line, the environment (``LRN_SERVER_HTTP_PORT``) and the TOML file (``http_port``) are
made of these fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lrn_deploy.options import option

PRIORITY_LEVELS = 3
"""Priorities of requests: 1 is the highest, 3 the lowest."""
DEFAULT_PRIORITY = 2


def _setting(default: Any, text: str, least: float = 0, most: float | None = None) -> Any:
    """A field with its meaning and, for a number, its range."""
    return option(default, text, least=least, most=most)


@dataclass(frozen=True)
class ModelSettings:
    """How a model is run and queued."""

    device: str = _setting("cpu", "cpu, cuda or cuda:N.")
    threads: int = _setting(0, "Threads of one run on the CPU; 0 lets the runtime choose.")
    instances: int = _setting(1, "Copies of each network that run at the same time.", 1, 64)
    max_batch_size: int = _setting(16, "Rows that run together at most.", 1, 4096)
    batching: Literal["adaptive", "fixed"] = _setting(
        "adaptive", "adaptive needs no tuning; fixed obeys the delay and the preferred sizes."
    )
    max_queue_delay_us: int = _setting(
        0, "For fixed: microseconds that a request waits for company."
    )
    preferred_batch_sizes: tuple[int, ...] = _setting(
        (), "For fixed: a size in rows that leaves at once; may be repeated.", 1
    )
    slo_ms: float = _setting(
        0.0, "For adaptive: keep batches small enough for this latency in milliseconds; 0: off."
    )
    max_queue_requests: int = _setting(1024, "Requests that may wait; 0: any number.")
    max_queue_bytes: int = _setting(512 * 2**20, "Bytes that may wait; 0: any number.")
    default_timeout_us: int = _setting(
        0, "Microseconds after which a waiting request is refused; 0: never."
    )
    hang_seconds: float = _setting(60.0, "Seconds after which a run is given up; 0: never.")
    embed: bool = _setting(False, "Answer /v1/embed with the last hidden layer.")
    allow_nonfinite: bool = _setting(False, "Take NaN and infinity in inputs.")


@dataclass(frozen=True)
class ServerSettings:
    """How the server is reached and how it ends."""

    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 opens it to the network.")
    http_port: int = _setting(8000, "Port of HTTP; 0 takes a free one.", 0, 65535)
    grpc_port: int = _setting(8001, "Port of gRPC; 0 takes a free one, -1: none.", -1, 65535)
    metrics_port: int = _setting(
        -1, "Further port with /metrics only; -1: none, they are on the HTTP port.", -1, 65535
    )
    max_body_bytes: int = _setting(64 * 2**20, "Largest body, also when decompressed.", 1)
    body_seconds: float = _setting(30.0, "Seconds that a client may take to send its body.")
    answer_seconds: float = _setting(60.0, "Seconds that a client may take to take its answer.")
    max_connections: int = _setting(
        0, "HTTP connections that may be open; 0: as many as the process may have files."
    )
    max_connections_per_peer: int = _setting(
        1024, "Those of one address; 0, for use behind a gateway: any number."
    )
    pre_drain_seconds: float = _setting(
        0.0, "After SIGTERM: seconds in which requests are still taken while ready says 503."
    )
    drain_seconds: float = _setting(30.0, "After that: seconds that requests may take to finish.")
    rate_limit: float = _setting(0.0, "Requests that one client may send a second; 0: any number.")
    keys: str = option(
        "",
        "File of API keys, made by 'lrn-deploy keys'; without one, nobody needs any.",
        metavar="FILE",
    )
    tls_cert: str = option(
        "", "PEM file of the certificate and those that lead to its authority.", metavar="FILE"
    )
    tls_key: str = option(
        "", "PEM file of its key; without one, it is in the same file.", metavar="FILE"
    )
    tls_client_ca: str = option(
        "", "PEM file of the authorities that clients' certificates must be of.", metavar="FILE"
    )
    client_header: str = _setting(
        "", "Header that names the client, behind a gateway; else it is the peer's address."
    )
    trace_sample: float = _setting(
        0.0, "Part of the requests without a traceparent that begin a trace.", 0, 1
    )
    max_images: int = _setting(32, "Images in one request to /v1/classify.", 1)
    max_pixels: int = _setting(64_000_000, "Pixels of one image.", 1, 178_956_970)
    page: bool = _setting(True, "Show a page for browsers at /.")
    grpc_threads: int = _setting(64, "gRPC requests that are answered at the same time.", 1, 1024)
    model_control: bool = _setting(False, "Let clients load and unload models.")
    allow_origin: tuple[str, ...] = _setting(
        (), "Other origin whose web pages may use the server, or * for any; may be repeated."
    )
    allow_host: tuple[str, ...] = _setting(
        (), "Further name of a server that listens on this machine only; may be repeated."
    )
    shared_memory: bool = _setting(
        False, "Let clients on this machine send tensors in its shared memory."
    )
    access_log: Literal["none", "errors", "all"] = _setting(
        "errors", "Requests that are written to stderr, each as a line of JSON."
    )

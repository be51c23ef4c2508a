"""Everything that can be set, with its defaults. What a field means stands here and only here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PRIORITY_LEVELS = 3
"""Priorities of requests: 1 is the highest, 3 the lowest."""
DEFAULT_PRIORITY = 2


@dataclass(frozen=True)
class ModelSettings:
    """How a model is run and queued.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: Threads of one run on the CPU; 0 lets the runtime choose.
        instances: Copies of the network that run at the same time.
        max_batch_size: Rows that run together at most.
        batching: ``adaptive`` needs no tuning; ``fixed`` obeys the delay and preferred sizes.
        max_queue_delay_us: For ``fixed``: how long a request waits for company, in microseconds.
        preferred_batch_sizes: For ``fixed``: sizes, in rows, that leave at once.
        slo_ms: For ``adaptive``: objective of the latency in milliseconds; 0: none.
        max_queue_requests: Requests that may wait; 0: any number.
        max_queue_bytes: Bytes of inputs that may wait; 0: any number.
        default_timeout_us: After how long a request that waits is refused, in microseconds; 0:
            never. A request's own ``timeout`` can only shorten it.
        hang_seconds: After how long a run is given up; 0: never.
        allow_nonfinite: Take NaN and infinity in inputs.
    """

    device: str = "cpu"
    threads: int = 0
    instances: int = 1
    max_batch_size: int = 16
    batching: Literal["adaptive", "fixed"] = "adaptive"
    max_queue_delay_us: int = 0
    preferred_batch_sizes: tuple[int, ...] = ()
    slo_ms: float = 0
    max_queue_requests: int = 1024
    max_queue_bytes: int = 512 * 2**20
    default_timeout_us: int = 0
    hang_seconds: float = 60
    allow_nonfinite: bool = False


@dataclass(frozen=True)
class ServerSettings:
    """How the server is reached and how it ends.

    Attributes:
        host: Address to bind to; the default can be reached from this machine only.
        http_port: Port of HTTP; 0 takes a free one.
        grpc_port: Port of gRPC; 0 takes a free one, -1 leaves gRPC out.
        metrics_port: A second port that has the metrics only; -1: none. They are always on
            ``/metrics`` of the HTTP port.
        max_body_bytes: Largest body, and largest body after decompression.
        body_seconds: How long a client may take to send its body.
        pre_drain_seconds: After SIGTERM, how long requests are still taken while ``ready``
            answers 503, so that load balancers notice.
        drain_seconds: After that, how long requests may take to finish.
        max_images: Images in one request to ``/v1/classify``.
        max_pixels: Pixels of one image, width times height.
        model_control: Allow clients to load and unload models.
        access_log: Which requests are written to stderr, as lines of JSON.
    """

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = -1
    max_body_bytes: int = 64 * 2**20
    body_seconds: float = 30
    pre_drain_seconds: float = 0
    drain_seconds: float = 30
    max_images: int = 32
    max_pixels: int = 64_000_000
    model_control: bool = True
    access_log: Literal["none", "errors", "all"] = "errors"

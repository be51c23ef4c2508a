"""A network that shows what happened to it, and a batcher in front of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.serving.batching.batcher import Batcher
from lrn_deploy.serving.batching.job import Job, Outcome
from lrn_deploy.serving.batching.policy import Adaptive, Policy
from lrn_deploy.serving.batching.queue import PendingQueue
from lrn_deploy.serving.batching.statistics import Statistics

Array = NDArray[Any]


class Network:
    """Doubles and names its rows; does what ``act`` says first."""

    def __init__(self, act: Callable[[int], None] = lambda _rows: None) -> None:
        self.act = act
        self.batches: list[int] = []
        self.closed = False

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        assert not self.closed
        x = feeds["x"]
        self.batches.append(len(x))
        self.act(len(x))
        return {"double": x * 2, "first": x[:, 0].copy()}

    def close(self) -> None:
        self.closed = True


@contextmanager
def batcher(
    *networks: Network,
    policy: Policy = Adaptive(8),  # noqa: B008 - frozen
    queue: PendingQueue | None = None,
    make: Callable[[], Network] = Network,
    **options: Any,
) -> Iterator[Batcher]:
    one = Batcher(
        make,
        list(networks),
        policy,
        PendingQueue() if queue is None else queue,
        Statistics(),
        **options,
    )
    try:
        yield one
    finally:
        one.close(5)


def job(*rows: int, timeout_ms: float | None = None, caller: str = "") -> Job:
    now = time.monotonic_ns()
    return Job(
        {"x": np.array([[row, -row] for row in rows], np.int64)},
        len(rows),
        now,
        deadline=None if timeout_ms is None else now + int(timeout_ms * 1e6),
        caller=caller,
    )


def submit(
    one: Batcher, *rows: int, timeout_ms: float | None = None, caller: str = ""
) -> Future[Outcome]:
    request = job(*rows, timeout_ms=timeout_ms, caller=caller)
    one.submit(request)
    return request.future

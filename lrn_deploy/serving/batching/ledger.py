"""What is known of the batches that ran, and what became of the requests that got no answer."""

from __future__ import annotations

import time

from lrn_deploy.serving.batching.job import Job
from lrn_deploy.serving.batching.policy import LatencyModel
from lrn_deploy.serving.batching.statistics import Statistics
from lrn_deploy.serving.errors import RequestError


class Ledger:
    """Kept by a batcher and its instances together.

    Args:
        statistics: What counts requests.

    Attributes:
        latency: How long the network takes.
        least: Nanoseconds of the quickest batch of so many rows.
    """

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        self.latency = LatencyModel()
        self.least: dict[int, int] = {}

    def ran(self, rows: int, nanoseconds: int) -> None:
        """Note that a batch of ``rows`` rows took so long."""
        self.latency.add(rows, nanoseconds)
        self.least[rows] = min(nanoseconds, self.least.get(rows, nanoseconds))

    def fail(self, job: Job, error: RequestError) -> None:
        """Count a job that gets no answer, and tell who waits for it."""
        self.statistics.record_failure(error.reason, time.monotonic_ns() - job.arrived)
        job.future.set_exception(error)

"""What the models did in an interval: how much, how large their batches were, how long it took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lrn_deploy.serving.batching.statistics import Statistics
from lrn_deploy.serving.repository.model import ServedModel


class Interval:
    """What has happened since it was last asked.

    Args:
        models: Those there are at its beginning.
        now: Nanoseconds of the monotonic clock.
    """

    def __init__(self, models: Sequence[ServedModel], now: int) -> None:
        self._since = now
        self._before = {model.name: _Counts(model.batcher.statistics) for model in models}

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

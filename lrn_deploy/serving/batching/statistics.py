"""Counters of one model, as Triton's statistics extension and its metrics define them.

Durations of requests add up over requests: each request of a batch adds the whole duration of that
batch's compute. ``inference_count`` counts rows, ``execution_count`` batches.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from lrn_deploy.serving.batching.job import Timing
from lrn_deploy.serving.errors import Reason

_RECENT = 8192  # requests whose durations are kept
REASONS: tuple[str, ...] = get_args(Reason)


@dataclass
class Duration:
    """How often something was done, and its nanoseconds in total."""

    count: int = 0
    ns: int = 0

    def add(self, nanoseconds: int, times: int = 1) -> None:
        """Note that it was done ``times`` times, for so long each."""
        self.count += times
        self.ns += nanoseconds * times

    def json(self) -> dict[str, int]:
        """As the protocol's ``StatisticDuration``."""
        return {"count": self.count, "ns": self.ns}


@dataclass
class _BatchSize:
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


class Statistics:
    """Thread-safe counters. ``snapshot`` gives numbers that belong together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.success = Duration()
        self.fail = Duration()
        self.queue = Duration()
        self.compute_input = Duration()
        self.compute_infer = Duration()
        self.compute_output = Duration()
        self.failures: Counter[str] = Counter()
        self.rows = 0
        self.executions = 0
        self.last_inference_ms = 0
        self._batches: dict[int, _BatchSize] = {}
        self._recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)

    def record_batch(self, timings: Sequence[Timing], totals: Sequence[int]) -> None:
        """Count one batch: a timing and a total in nanoseconds for each of its requests."""
        first, many = timings[0], len(timings)
        with self._lock:
            for timing, total in zip(timings, totals, strict=True):
                self.success.add(total)
                self.queue.add(timing.queue)
                self._recent.append((timing.arrived + total, total))
            self.compute_input.add(first.compute_input, many)
            self.compute_infer.add(first.compute_infer, many)
            self.compute_output.add(first.compute_output, many)
            self.rows += first.batch_rows
            self.executions += 1
            self.last_inference_ms = time.time_ns() // 1_000_000
            size = self._batches.setdefault(first.batch_rows, _BatchSize())
            size.compute_input.add(first.compute_input)
            size.compute_infer.add(first.compute_infer)
            size.compute_output.add(first.compute_output)

    def record_failure(self, reason: str, nanoseconds: int = 0) -> None:
        """Count one request that got no answer, and how long it took until that was known."""
        with self._lock:
            self.fail.add(nanoseconds)
            self.failures[reason] += 1

    def durations_since(self, moment: int) -> list[int]:
        """Nanoseconds that each request took that was answered after ``moment``.

        Args:
            moment: On the monotonic clock, in nanoseconds. At most the latest 8192 are known.
        """
        with self._lock:
            return [total for done, total in self._recent if done > moment]

    def batch_sizes(self) -> dict[int, int]:
        """How many batches there were of each number of rows."""
        with self._lock:
            return {rows: size.compute_infer.count for rows, size in sorted(self._batches.items())}

    def snapshot(self, name: str, version: str) -> dict[str, Any]:
        """One entry of the protocol's ``model_stats``."""
        none = Duration().json()
        with self._lock:
            return {
                "name": name,
                "version": version,
                "last_inference": self.last_inference_ms,
                "inference_count": self.rows,
                "execution_count": self.executions,
                "inference_stats": {
                    "success": self.success.json(),
                    "fail": self.fail.json(),
                    "queue": self.queue.json(),
                    "compute_input": self.compute_input.json(),
                    "compute_infer": self.compute_infer.json(),
                    "compute_output": self.compute_output.json(),
                    "cache_hit": none,
                    "cache_miss": none,
                },
                "response_stats": {},
                "batch_stats": [
                    {
                        "batch_size": rows,
                        "compute_input": size.compute_input.json(),
                        "compute_infer": size.compute_infer.json(),
                        "compute_output": size.compute_output.json(),
                    }
                    for rows, size in sorted(self._batches.items())
                ],
                "memory_usage": [],
            }

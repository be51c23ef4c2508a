"""When a batch leaves the queue and how many rows it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lrn_deploy.serving.batching.queue import NextBatch


class LatencyModel:
    """How long the network takes for n rows: ``a * n + b``, fitted to the latest batches.

    A least-squares line through exponentially weighted samples, clipped so that neither part is
    negative.

    Args:
        memory: Number of batches after which a sample weighs 1/e.
    """

    def __init__(self, memory: int = 50) -> None:
        self._keep = 1 - 1 / memory
        self._w = self._n = self._t = self._nn = self._nt = 0.0

    @property
    def known(self) -> bool:
        """Whether there has been a batch at all."""
        return self._w > 0

    def add(self, rows: int, nanoseconds: float) -> None:
        """Note that a batch of ``rows`` rows took so long."""
        keep = self._keep
        self._w = self._w * keep + 1
        self._n = self._n * keep + rows
        self._t = self._t * keep + nanoseconds
        self._nn = self._nn * keep + rows * rows
        self._nt = self._nt * keep + rows * nanoseconds

    def line(self) -> tuple[float, float]:
        """``a`` and ``b`` in nanoseconds: for each row, and for each batch. (0, 0) if unknown."""
        if not self.known:
            return 0.0, 0.0
        mean_n, mean_t = self._n / self._w, self._t / self._w
        variance = self._nn / self._w - mean_n**2
        if variance < 1e-9 * mean_n**2:  # one size only: take it to be proportional
            return mean_t / mean_n, 0.0
        a = (self._nt / self._w - mean_n * mean_t) / variance
        a = min(max(a, 0.0), mean_t / mean_n)
        return a, mean_t - a * mean_n

    def __call__(self, rows: int) -> float:
        """Expected nanoseconds of a batch of ``rows`` rows; 0 if nothing is known yet."""
        a, b = self.line()
        return a * rows + b


@dataclass(frozen=True)
class Decision:
    """Take a batch of at most ``rows`` rows, after ``wait`` nanoseconds unless more comes first."""

    rows: int
    wait: int = 0


class Policy(Protocol):
    """How a batcher decides. Called with the queue locked, so it must be quick."""

    @property
    def max_rows(self) -> int:
        """Largest batch."""
        ...

    def decide(self, front: NextBatch, now: int, latency: LatencyModel) -> Decision:
        """What to do with what waits; ``now`` in nanoseconds of the monotonic clock."""
        ...


@dataclass(frozen=True)
class Adaptive:
    """No tuning: what waits when the network is free runs at once, up to the maximum.

    So a request to an idle server never waits for company, and the busier the server, the larger
    its batches. Under an objective a batch is no larger than what its oldest request can wait for.

    Attributes:
        max_rows: Largest batch.
        slo_ns: Objective of the time from arrival to answer, in nanoseconds; None: none.
    """

    max_rows: int
    slo_ns: int | None = None

    def decide(self, front: NextBatch, now: int, latency: LatencyModel) -> Decision:
        """Release at once, as much as the objective allows and at least one request."""
        if self.slo_ns is None:
            return Decision(self.max_rows)
        a, b = latency.line()
        left = self.slo_ns - (now - front.oldest)
        if left <= 0 or a <= 0:  # too late for it already: clear the queue as fast as possible
            return Decision(self.max_rows)
        return Decision(min(self.max_rows, max(1, int((left - b) / a))))


@dataclass(frozen=True)
class Fixed:
    """Triton's dynamic batcher: a delay and preferred sizes.

    A batch leaves when it is full, when nothing can join it, when it has a preferred size, or when
    its oldest request has waited for ``delay_ns``.

    Attributes:
        max_rows: Largest batch.
        delay_ns: ``max_queue_delay_microseconds``, in nanoseconds.
        preferred: ``preferred_batch_size``, in rows.
    """

    max_rows: int
    delay_ns: int = 0
    preferred: tuple[int, ...] = ()

    # Every policy is called alike; this one does without the latencies.
    def decide(self, front: NextBatch, now: int, latency: LatencyModel) -> Decision:  # noqa: ARG002
        """Release, or say how long to wait."""
        age = now - front.oldest
        if front.rows < self.max_rows:
            fit = max((size for size in self.preferred if size <= front.rows), default=0)
            if fit:
                return Decision(fit)
            if not front.closed and age < self.delay_ns:
                return Decision(self.max_rows, self.delay_ns - age)
        return Decision(self.max_rows)

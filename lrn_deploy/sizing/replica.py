"""One server process: how long requests take at a rate, and the highest within an objective."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, sqrt

from lrn_deploy.sizing.bulk_queue import Floats, OverloadedError, Stay, capacity, stay
from lrn_deploy.sizing.schema import Bound, Replica

MOST_UTILISED = 0.95
"""Above, the times depend on what no profile knows: how the rate itself wanders."""
MOST_READING = 0.8
"""Of the one thread that reads requests, where the network does not wait for it."""
_LEAST_SHARE = 1 / 1024
_HALVINGS = 11  # leaves the knee within 0.4 %


@dataclass(frozen=True)
class Server:
    """A replica as a queue.

    Attributes:
        times: Seconds of batches, as :func:`.bulk_queue.stay` wants them.
        most: Images that run together at most.
        beside: Seconds of each request on a thread that works beside the network; 0 if ``times``
            hold them.
        on_gpu: Whether it runs there.
    """

    times: Floats
    most: int
    beside: float = 0.0
    on_gpu: bool = False

    @property
    def highest(self) -> float:
        """Rate that no objective lets it pass."""
        return min(MOST_UTILISED * capacity(self.times), self._reads())

    def least(self, percent: float) -> float:
        """What a quantile of the latency of lone requests is."""
        atoms = sorted(self.times[0])
        return float(atoms[ceil(percent / 100 * len(atoms)) - 1]) + self.beside

    def quantiles(self, rate: float, percents: Iterable[float]) -> tuple[Stay, list[float]]:
        """Latencies at a rate.

        Raises:
            OverloadedError: If it cannot bear it.
        """
        found = stay(rate, self.times)
        busy = rate * self.beside
        if busy >= 1:
            raise OverloadedError(f"Requests come faster than one in {self.beside:g} s.")
        front = self.beside * (1 + busy / (2 * (1 - busy)))  # mean of M/D/1
        return found, [found.quantile(percent) + front for percent in percents]

    def keeps(self, rate: float, objective: float, percent: float) -> bool:
        """Whether a quantile of the latency is within an objective."""
        try:
            return self.quantiles(rate, [percent])[1][0] <= objective
        except OverloadedError:
            return False

    def knee(self, objective: float, percent: float) -> float:
        """Highest rate at which an objective is kept; 0 if there is none."""
        good, bad = self.highest * _LEAST_SHARE, self.highest
        if self.keeps(bad, objective, percent):
            return bad
        if not self.keeps(good, objective, percent):
            return 0.0
        for _ in range(_HALVINGS):
            middle = sqrt(good * bad)
            if self.keeps(middle, objective, percent):
                good = middle
            else:
                bad = middle
        return good

    def described(self, objective: float, percent: float) -> Replica:
        """It at its best."""
        reading = self._reads() < MOST_UTILISED * capacity(self.times)
        bound: Bound = "GPU" if self.on_gpu else "processor"
        knee = self.knee(objective, percent)
        if reading and knee == self.highest:
            bound = "reading requests"
        return Replica(
            max_batch_size=self.most,
            least=self.least(percent),
            capacity=capacity(self.times),
            knee=knee,
            bound=bound,
        )

    def _reads(self) -> float:
        return MOST_READING / self.beside if self.beside else float("inf")


def best(servers: Iterable[Server], objective: float, percent: float) -> tuple[Server, Replica]:
    """The server with the highest knee, of several the one with the smallest batches."""
    described = [(server, server.described(objective, percent)) for server in servers]
    return max(described, key=lambda pair: (pair[1].knee, -pair[1].max_batch_size))

"""Load for servers on this machine: requests that are ready as bytes, by the package's own loop.

The same for every server, and cheap: its own processor time is told, since it shares the machine
with what it measures.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.http.language import encode
from lrn_deploy.client.http.wire import HttpAnswer, HttpRequest
from lrn_deploy.client.operations import inference
from lrn_deploy.load.drive import ANSWERED, Taken
from lrn_deploy.load.drive import drive as loop
from lrn_deploy.load.http import WRONG, HttpSender, outcome_of
from lrn_deploy.load.plans import ClosedLoop, OpenLoop, Plan

Right = Callable[[int, bytes], bool]
"""Whether a body is the right answer to the request of this index."""
LEAD_SECONDS = 0.5
"""Until then connections are opened, caches are cold, and the first batches are not full."""
_TIMEOUT_SECONDS = 60.0


@dataclass
class Load:
    """What became of the requests.

    Attributes:
        seconds: How long it went on.
        cpu_seconds: Processor time of this process meanwhile.
        statuses: How often there was which HTTP status; 0: no answer, or none that could be read.
        wrong: Answers with status 200 that were not right.
        latencies: Seconds of each request with status 200, in no order.
        moments: Seconds from the start to each right answer, in no order.
        steady_cpu_share: Processor time of this process in a second, from :data:`LEAD_SECONDS` on
            until no more was asked.
        unclear: Refusals that do not say why, as ``{"error": …}``.
        longest_refusal: Seconds of the slowest refusal.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    latencies: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    steady_cpu_share: float = 0.0
    unclear: int = 0
    longest_refusal: float = 0.0

    @property
    def per_second(self) -> float:
        """Right answers in a second."""
        return (self.statuses[200] - self.wrong) / self.seconds

    def steady_per_second(self, seconds: float) -> float:
        """Right answers in a second from :data:`LEAD_SECONDS` on until so many seconds were over.

        Slope of the least-squares line through their numbers over their moments: answers come in
        whole batches, and a count between two moments would depend on how many ends fall between.
        """
        moments = np.sort(self.moments)
        (steady,) = np.nonzero((moments >= LEAD_SECONDS) & (moments <= seconds))
        return float(np.polyfit(moments[steady], steady, 1)[0]) if len(steady) > 1 else float("nan")

    def quantile(self, percent: float) -> float:
        """Seconds within which so many of the answers came."""
        return float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A POST request as bytes; a ``_`` in a header's name stands for ``-``."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return HttpRequest("POST", path, named, (body,)).whole("127.0.0.1", {})


def infer(model: str, name: str, rows: NDArray[Any]) -> bytes:
    """An inference request of the protocol, binary both ways."""
    return encode(inference(model, {name: rows}), None).whole("127.0.0.1", {})


def only_right(expected: NDArray[Any], tolerance: float) -> Right:
    """An answer is right if it is the row of its own request and of no other.

    Batches of other sizes may round differently, so it is compared with a tolerance that is a
    small part of the distance to the nearest other row.

    Args:
        expected: The answers, one row for each request; an answer's body ends with its row.
        tolerance: L2 distance that it may have, as a part of the row's own length.

    Raises:
        ValueError: If two rows are too much alike to be told apart.
    """
    width = expected[0].nbytes
    limits = tolerance * np.linalg.norm(expected, axis=1)
    between = np.linalg.norm(expected[:, None] - expected[None], axis=-1)
    np.fill_diagonal(between, np.inf)
    if (between < 10 * limits[:, None]).any():
        raise ValueError("two requests have almost the same answers; nothing could be told by them")

    def right(index: int, body: bytes) -> bool:
        scores = np.frombuffer(body[-width:], expected.dtype)
        return bool(np.linalg.norm(scores - expected[index]) <= limits[index])

    return right


def drive(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    per_second: float = 0.0,
    seed: int = 3,
    right: Right = lambda _index, _body: True,
    ca: Path | None = None,
) -> Load:
    """Ask for so long, over so many connections, from one thread.

    Args:
        port: Of the server, on this machine.
        requests: Whole HTTP requests, which are sent in turn.
        connections: How many ask at the same time.
        seconds: How long.
        per_second: Requests in a second, whatever becomes of them, at exponentially distributed
            distances; their latencies count from when they were due. 0: each connection asks again
            as soon as it is answered.
        seed: Of those distances.
        right: Checks the answers.
        ca: PEM file of what vouches for the server, which then speaks TLS.
    """
    load = Load()
    steady = _Steady(seconds)

    def check(index: int, answer: HttpAnswer) -> str:
        if answer.status == 503:
            load.unclear += b'"error": "' not in answer.body
        elif answer.status == 200 and not right(index, answer.body):
            return WRONG
        return outcome_of(answer)

    address = Address("http", "127.0.0.1", port, secure=ca is not None)
    sender = HttpSender(address, Credentials(ca=ca), requests, connections, check)
    plan: Plan = ClosedLoop(connections, seconds)
    if per_second:
        gaps = np.random.default_rng(seed).exponential(1 / per_second, int(per_second * seconds))
        plan = OpenLoop(np.cumsum(gaps).tolist())
    try:
        taken = loop(sender, plan, timeout=_TIMEOUT_SECONDS, tell=steady)
    finally:
        sender.close()
    since = taken.due if per_second else taken.sent
    for begun, ended, outcome in zip(since, taken.ended, taken.outcomes, strict=True):
        status = 200 if outcome in (ANSWERED, WRONG) else _status(outcome)
        load.statuses[status] += 1
        if status == 200:
            load.latencies.append(ended - begun)
            if outcome == WRONG:
                load.wrong += 1
            else:
                load.moments.append(ended)
        elif status == 503:
            load.longest_refusal = max(load.longest_refusal, ended - begun)
    load.seconds, load.cpu_seconds = taken.seconds, taken.cpu_seconds
    load.steady_cpu_share = steady.share
    return load


def _status(outcome: str) -> int:
    first = outcome.split(" ", 1)[0]
    return int(first) if first.isdecimal() else 0


class _Steady:
    """Sees how much processor time this process uses once it is steady."""

    def __init__(self, seconds: float) -> None:
        self.share = 0.0
        self._seconds = seconds
        self._began: tuple[float, float] | None = None

    def __call__(self, now: float, _taken: Taken) -> None:
        if not LEAD_SECONDS <= now <= self._seconds:
            return
        used = time.process_time()
        if self._began is None:
            self._began = now, used
        elif now > self._began[0]:
            self.share = (used - self._began[1]) / (now - self._began[0])

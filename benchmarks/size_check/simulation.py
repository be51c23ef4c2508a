"""The same queues request by request: what the model computes, played.

It shares nothing with the model but the rule: a free server takes what waits, up to a number.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def poisson(rate: float, count: int, seed: int) -> Floats:
    """When so many requests come, at random, so many a second."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


def simulate(arrivals: Floats, times: Floats, seed: int = 0) -> Floats:
    """How long each request stays with one server.

    Args:
        arrivals: When they come, in order.
        times: Seconds of batches; row n - 1 has equally likely times of a batch of n.
        seed: Of the choice among them.
    """
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, times.shape[1], len(arrivals))
    ended = np.empty(len(arrivals))
    at, free = 0, 0.0
    while at < len(arrivals):
        start = max(free, float(arrivals[at]))
        waiting = int(np.searchsorted(arrivals, start, "right")) - at
        size = min(len(times), waiting)
        free = start + float(times[size - 1, picked[at]])
        ended[at : at + size] = free
        at += size
    return ended - arrivals


def simulate_several(
    arrivals: Floats,
    times: Floats,
    servers: int,
    choose: Literal["random", "least"],
    seed: int = 0,
) -> Floats:
    """How long each request stays with one of several servers, each with a queue of its own.

    Args:
        arrivals: When they come, in order.
        times: As for :func:`simulate`.
        servers: How many.
        choose: Whether a request goes to any of them, or to one with the fewest requests.
        seed: Of all that is random.
    """
    rng = np.random.default_rng(seed)
    queues: list[deque[int]] = [deque() for _ in range(servers)]
    running = [0] * servers
    stays = np.zeros(len(arrivals))
    ends: list[tuple[float, int]] = []

    def begin(server: int, now: float) -> None:
        size = min(len(times), len(queues[server]))
        running[server] = size
        if not size:
            return
        until = now + float(rng.choice(times[size - 1]))
        for _ in range(size):
            request = queues[server].popleft()
            stays[request] = until - arrivals[request]
        heapq.heappush(ends, (until, server))

    for request, now in enumerate(arrivals):
        while ends and ends[0][0] <= now:
            until, server = heapq.heappop(ends)
            begin(server, until)
        if choose == "random":
            server = int(rng.integers(servers))
        else:
            server = min(range(servers), key=lambda one: len(queues[one]) + running[one])
        queues[server].append(request)
        if not running[server]:
            begin(server, float(now))
    while ends:
        until, server = heapq.heappop(ends)
        begin(server, until)
    return stays

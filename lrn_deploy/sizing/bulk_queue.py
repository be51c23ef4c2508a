"""How long requests take where they are served in batches: the queue M/G^[1,B]/1, numerically.

Requests arrive at random (a Poisson process). An idle server takes a request at once; one that has
ended a batch takes all that wait, in their order, but B at most, and waits for nobody. A batch of n
takes a random time of the n-th distribution. That is the server's own adaptive rule, and Bailey's
bulk service of 1954 with a minimum of one and times that depend on the size.

The numbers waiting at the ends of batches are a Markov chain, which is solved. A request that finds
the server busy (Poisson arrivals see time averages) has some number before it, and what is left of
the batch that runs; both are known together from the chain. Then come the full batches before its
own, and its own, whose size depends on who has come meanwhile. Times lie on a lattice, so sums of
them are products of Fourier transforms, and nothing is assumed of the distributions: the only
errors are the lattice's step, mostly a 128th of the longest mean time, and cut tails below 1e-7.

Source: M. L. Chaudhry and J. G. C. Templeton, A First Course in Bulk Queues, 1983, chapter 4, for
the chain; the passage from it to the times is by conditioning, as above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 128
"""Steps of the lattice in the mean time of the longest batch, and in the shortest:"""
_STEPS_OF_LEAST = 16
_MOST_STEPS = 4096
"""In all the time that a request may stay: who stays long needs no fine steps."""
_TAIL = 1e-7
_NEVER = 1e-9
"""Of all requests: nobody reckons with a queue that so few of them meet."""
_MOST_WAITING = 2048


class OverloadedError(ValueError):
    """More requests come than can be served, or so nearly that no time is known."""


@dataclass(frozen=True)
class Stay:
    """How long requests stay, from arrival to answer, at one rate.

    Attributes:
        utilisation: Share of the time in which a batch runs.
        mean_batch: Requests in a batch on average.
        step: Seconds between two neighbours of ``weights``.
        weights: Probability that a request stays so many steps.
    """

    utilisation: float
    mean_batch: float
    step: float
    weights: Floats

    @property
    def mean(self) -> float:
        """Seconds on average."""
        return float(self.step * (self.weights @ np.arange(len(self.weights))))

    def quantile(self, percent: float) -> float:
        """Seconds within which so many per cent of the requests are answered."""
        (steps,) = np.nonzero(self.weights > 0)
        each = self.weights[steps]
        share = np.cumsum(each) - each / 2  # a time between two steps is part of both
        return float(self.step * np.interp(percent / 100 * each.sum(), share, steps))


def capacity(times: Floats) -> float:
    """Requests a second beyond which the queue grows without end.

    Args:
        times: As for :func:`stay`.
    """
    return float(len(times) / times[-1].mean())


def stay(rate: float, times: Floats) -> Stay:
    """How long requests stay.

    Args:
        rate: Requests a second.
        times: Seconds of batches, shape (B, m): row n - 1 has m equally likely times of a batch of
            n requests.

    Raises:
        OverloadedError: If the rate is not below :func:`capacity`, or hardly so.
    """
    if not 0 < rate < capacity(times):
        raise OverloadedError(f"{rate:g} requests a second, and {capacity(times):g} at most.")
    largest = len(times)
    means = times.mean(axis=1)
    waiting = _waiting(rate, times)
    sizes = np.clip(np.arange(len(waiting)), 1, largest)
    cycle = float(waiting @ means[sizes - 1] + waiting[0] / rate)
    idle = float(waiting[0] / rate / cycle)
    rounds = -(-len(waiting) // largest)
    longest = 2 * times.max() + rounds * means[-1] + 6 * np.sqrt(rounds) * times[-1].std()
    step = float(max(min(means.max() / _STEPS, means[0] / _STEPS_OF_LEAST), longest / _MOST_STEPS))
    batches = _on_lattice(times, step)
    met = _met(rate * step, batches, waiting) * (step / cycle)
    busy = _served(rate * step, batches, met, int(longest / step))
    weights = np.zeros(2 * max(len(busy), batches.shape[1]))
    weights[1 : 2 * len(busy) : 2] = busy  # what is left of a batch ends half a step off
    weights[: 2 * batches.shape[1] : 2] += idle * batches[0]
    return Stay(1 - idle, rate * cycle, step / 2, weights)


def _on_lattice(times: Floats, step: float) -> Floats:
    """Each row's times as probabilities of 0, 1, 2, … steps, with the same mean."""
    scaled = times / step
    below = scaled.astype(int)
    share = (scaled - below) / times.shape[1]
    found = np.zeros((len(times), int(below.max()) + 2))
    rows = np.arange(len(times))[:, None]
    np.add.at(found, (rows, below), 1 / times.shape[1] - share)
    np.add.at(found, (rows, below + 1), share)
    return found


def _poisson(means: NDArray[np.floating[Any]], count: int) -> Floats:
    """Probabilities of 0 … count - 1 arrivals, a row for each mean."""
    numbers = np.arange(count)
    factorials = np.cumsum(np.log(np.maximum(numbers, 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(numbers == 0, 0.0, numbers * np.log(means[:, None]))
    return np.asarray(np.exp(logs - means[:, None] - factorials))


def _waiting(rate: float, times: Floats) -> Floats:
    """Probabilities of 0, 1, 2, … waiting requests at the end of a batch."""
    largest, atoms = times.shape
    count = 4 * largest + 64
    while count <= _MOST_WAITING:
        each = _poisson(rate * times.ravel(), count)
        arrivals = each.reshape(largest, atoms, count).mean(axis=1)
        change = np.zeros((count, count))
        for waiting in range(count):
            size, left = min(max(waiting, 1), largest), max(waiting - largest, 0)
            change[waiting, left:] = arrivals[size - 1, : count - left]
        change[:, -1] += 1 - change.sum(axis=1)
        balance = change.T - np.eye(count)
        balance[-1] = 1
        found = np.linalg.solve(balance, np.eye(count)[-1])
        if abs(found[-count // 8 :]).sum() < _TAIL:
            found = found.clip(0) / found.clip(0).sum()
            likely = int(np.searchsorted(np.cumsum(found), 1 - _NEVER)) + 1
            return np.asarray(found[: max(likely, largest + 1)])
        count *= 2
    raise OverloadedError(f"More than {_MOST_WAITING} requests would wait at times.")


def _met(rate: float, batches: Floats, waiting: Floats) -> Floats:
    """What requests meet that come while a batch runs.

    Returns:
        Shape (steps, numbers): how often h + 1/2 steps of the batch are left and j requests are
        before it, times the steps of a cycle.
    """
    largest, steps = batches.shape
    count = len(waiting)
    before = _poisson(rate * (np.arange(steps) + 0.5), count)
    served = waiting.copy()  # by the number that a batch takes, and more
    served[1] += served[0]  # who comes to an idle server makes a batch of one
    short = served[1:largest] @ batches[:-1]  # those batches leave nobody behind
    left = np.zeros(count)  # behind a full one
    left[: count - largest] = served[largest:]
    behind = np.zeros((count, count))
    for number in range(count):
        behind[number, number:] = left[: count - number]
    return np.asarray(
        _left(short, before) + _left(batches[-1], before) @ behind,
    )


def _left(batch: Floats, before: Floats) -> Floats:
    """Sums over g of batch[g + h + 1] before[g], for h from 0: g steps have passed, h are left."""
    length = 2 * len(batch)
    both = np.fft.rfft(batch[1:], length)[:, None] * np.fft.rfft(before, length, axis=0).conj()
    return np.asarray(np.fft.irfft(both, length, axis=0)[: len(batch)].clip(0))


def _served(rate: float, batches: Floats, met: Floats, longest: int) -> Floats:
    """Probabilities of staying t + 1/2 steps, of those that meet a running batch."""
    largest = len(batches)
    length = 1 << longest.bit_length()
    rounds = -(-met.shape[1] // largest)
    padded = np.zeros((len(met), rounds * largest))
    padded[:, : met.shape[1]] = met
    full = np.fft.rfft(batches[-1], length)
    total = np.zeros((largest, len(full)), np.complex128)
    for those in reversed(np.split(padded, rounds, axis=1)):  # each waits for one more full batch
        total = total * full + np.fft.rfft(those.T, length)
    begun = np.fft.irfft(total, length).clip(0)  # by the place in its own batch
    joined = _poisson(rate * (np.arange(length) + 0.5), largest)
    sizes = np.zeros_like(begun)
    for place in range(largest):
        room = largest - 1 - place
        sizes[place : largest - 1] += begun[place] * joined[:, :room].T
        sizes[-1] += begun[place] * (1 - joined[:, :room].sum(axis=1))
    ended = np.fft.rfft(sizes, length) * np.fft.rfft(batches, length)
    return np.asarray(np.fft.irfft(ended.sum(axis=0), length).clip(0))

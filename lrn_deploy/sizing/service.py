"""What one replica takes for a batch of requests: the network's measured time and the server's own.

The server's part was measured (``python -m benchmarks.size_check``), with networks that do nothing.
Where network and server share the processor it adds to each batch; beside a GPU it goes on while
the network runs, and only bounds the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ATOMS = 32
"""So many equally likely times stand for the measured ones of a batch size."""


@dataclass(frozen=True)
class Overhead:
    """Processor time of lrn-server beside the network's, in seconds.

    Attributes:
        per_request: For reading a request, queueing it and answering it.
        per_byte: For each byte of its body.
        per_batch: For putting a batch together and waking whoever runs it.
    """

    per_request: float
    per_byte: float
    per_batch: float

    def of_request(self, nbytes: int) -> float:
        """Seconds for one request of so many bytes."""
        return self.per_request + nbytes * self.per_byte


MEASURED = Overhead(per_request=320e-6, per_byte=0.9e-9, per_batch=170e-6)
"""On an AMD EPYC of 2.4 GHz, over HTTP; results/size.json has what it was fitted to."""


@dataclass(frozen=True)
class Curve:
    """How long one way to run a network takes, by batch size.

    Attributes:
        name: What runs, as the profile calls it.
        device: ``cpu`` or ``cuda``.
        threads: Threads of a run on the CPU; 0: all of the machine's cores.
        samples: Seconds of runs of so many images.
    """

    name: str
    device: str
    threads: int
    samples: dict[int, Floats]

    @property
    def largest(self) -> int:
        """Images of the largest batch that was measured."""
        return max(self.samples)

    def per_second(self, images: int) -> float:
        """Images a second in batches of a size that was measured, one after the other."""
        return float(images / self.samples[images].mean())

    def times(self, images: int) -> Floats:
        """Equally likely seconds of a run, ascending, of shape (:data:`ATOMS`,).

        Between two sizes that were measured each of them lies on the line between theirs.

        Raises:
            ValueError: If no batch as large was measured.
        """
        sizes = sorted(self.samples)
        if not sizes[0] <= images <= sizes[-1]:
            raise ValueError(f"{images} images, and {sizes[0]} to {sizes[-1]} were measured.")
        above = next(size for size in sizes if size >= images)
        if above == images:
            return _means(self.samples[images])
        below = max(size for size in sizes if size < images)
        share = (images - below) / (above - below)
        return (1 - share) * _means(self.samples[below]) + share * _means(self.samples[above])


def service_times(curve: Curve, images: int, most: int, per_request: float, batch: float) -> Floats:
    """Seconds of batches of requests, as :mod:`.bulk_queue` wants them.

    Args:
        curve: The network's times.
        images: In a request.
        most: Images that run together at most; a request with more still runs, alone.
        per_request: Seconds that each request adds to its batch.
        batch: Seconds that are added to each batch.

    Returns:
        Shape (requests of the largest batch, :data:`ATOMS`).
    """
    requests = range(1, max(1, most // images) + 1)
    return np.array(
        [curve.times(number * images) + number * per_request + batch for number in requests]
    )


def _means(samples: Sequence[float] | Floats) -> Floats:
    """Means of as many equal parts of the samples in their order: their mean is that of all."""
    ordered = np.sort(np.asarray(samples, np.float64))
    total = np.concatenate([[0.0], np.cumsum(ordered)]) / len(ordered)
    at = np.linspace(0, 1, ATOMS + 1)
    return np.diff(np.interp(at, np.linspace(0, 1, len(total)), total)) * ATOMS

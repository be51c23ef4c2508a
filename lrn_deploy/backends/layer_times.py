"""Where the time of a run goes: what a backend that times its own kernels tells.

A session that times its kernels is slower than one that does not, so it is another one than the
session whose latency is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lrn_deploy.backends.protocol import Array, Session
from lrn_deploy.bundle import ArtifactData

WARMUP = 3
"""Runs before the first that is kept."""


@dataclass(frozen=True)
class KernelTimes:
    """One kernel, run by run.

    Attributes:
        name: The runtime's name of it, mostly made from the name of a node of the graph.
        kind: The runtime's operator, ``FusedConv`` for instance.
        seconds: Its time in each run; 0 in a run that did not need it.
    """

    name: str
    kind: str
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class LayerTrace:
    """Where the time of some runs went.

    Attributes:
        whole: Seconds of each run, from arrays to arrays, with the timing of kernels on.
        kernels: What ran, in the order of the first run.
    """

    whole: tuple[float, ...]
    kernels: tuple[KernelTimes, ...]


@runtime_checkable
class TimesLayers(Protocol):
    """A backend that can also tell where the time goes."""

    def layer_times(
        self, artifact: ArtifactData, feeds: Mapping[str, Array], runs: int
    ) -> LayerTrace | None:
        """Run an artifact in a session of its own that times each kernel.

        Args:
            artifact: What to run.
            feeds: One array for each input.
            runs: Number of runs, after a few that are not kept.

        Returns:
            The times, or None if it does not tell them on its device.

        Raises:
            LrnDeployError: As ``load`` and ``run`` do.
        """
        ...


def timed_runs(
    session: Session,
    feeds: Mapping[str, Array],
    runs: int,
    after_run: Callable[[], None] = lambda: None,
) -> tuple[float, ...]:
    """Seconds of each of ``runs`` runs.

    Args:
        session: What runs.
        feeds: Its inputs.
        runs: How often, after :data:`WARMUP` runs that are not kept.
        after_run: Called after each run, those not kept included.
    """
    taken = []
    for _ in range(WARMUP + runs):
        before = time.perf_counter()
        session.run(feeds)
        taken.append(time.perf_counter() - before)
        after_run()
    return tuple(taken[WARMUP:])


def by_kernel(runs: list[dict[tuple[str, str], float]]) -> tuple[KernelTimes, ...]:
    """Times by name and kind of each run, turned into times of each kernel.

    Args:
        runs: Of all runs; the first :data:`WARMUP` are not kept.
    """
    runs = runs[WARMUP:]
    keys = dict.fromkeys(key for run in runs for key in run)
    return tuple(KernelTimes(*key, tuple(run.get(key, 0.0) for run in runs)) for key in keys)

"""Reading what OpenVINO counts when it is told to: the time of each kernel.

It tells no single run, but the average over all runs since the graph was compiled, the first and
slow ones included, in whole microseconds. The difference of two such averages, each times its
number of runs, is what the runs in between took; over a few of them it is exact enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrn_deploy.backends.layer_times import WARMUP, KernelTimes, LayerTrace

COUNTING = {"PERF_COUNT": True}
"""The option of a compiled graph that counts."""
TOGETHER = 5
"""Runs whose average is told as one run."""

Averages = dict[tuple[str, str], float]
"""Seconds by a kernel's name and operator."""


def averages(request: Any) -> Averages:
    """Average seconds of each kernel in all runs of a graph so far.

    What was fused into another kernel did not run by itself and is left out. So is, as OpenVINO
    says the same of it, what takes less than a microsecond on average: it may come and go.
    """
    return {
        (str(node.node_name), str(node.node_type)): node.real_time.total_seconds()
        for node in request.get_profiling_info()
        if node.status == node.EXECUTED
    }


def trace(whole: Sequence[float], seen: Sequence[Averages]) -> LayerTrace:
    """Times of groups of :data:`TOGETHER` runs, each told as one run.

    Args:
        whole: Seconds of each run after warm-up; what is left over by the groups is not used.
        seen: Averages after each run, those of warm-up included.
    """
    together = min(TOGETHER, len(whole))
    starts = range(0, len(whole) - together + 1, together)
    kernels = []
    for key in seen[-1]:
        taken = []
        for start in starts:
            before, after = WARMUP + start, WARMUP + start + together  # numbers of runs
            sums = [count * seen[count - 1].get(key, 0.0) for count in (before, after)]
            taken.append(max(sums[1] - sums[0], 0.0) / together)
        kernels.append(KernelTimes(*key, tuple(taken)))
    runs = tuple(sum(whole[start : start + together]) / together for start in starts)
    return LayerTrace(runs, tuple(kernels))

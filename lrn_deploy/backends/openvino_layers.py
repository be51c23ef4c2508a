"""Reading what OpenVINO counts when it is told to: the time of each kernel in the last run."""

from __future__ import annotations

from typing import Any

COUNTING = {"PERF_COUNT": True}
"""The option of a compiled graph that counts."""


def last_run(request: Any) -> dict[tuple[str, str], float]:
    """Seconds of each kernel in the last run of an infer request, by name and operator.

    What was fused into another kernel did not run by itself and is left out.
    """
    times: dict[tuple[str, str], float] = {}
    for item in request.get_profiling_info():
        if item.status == item.EXECUTED:
            key = (str(item.node_name), str(item.node_type))
            times[key] = times.get(key, 0.0) + item.real_time.total_seconds()
    return times

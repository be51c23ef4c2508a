"""Reading the trace that ONNX Runtime writes when it profiles: a list of events in JSON.

One event for each kernel, with its time in microseconds, and one behind those of each run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from lrn_deploy.backends.layer_times import KernelTimes, by_kernel

_KERNEL = "_kernel_time"
_RUN = "model_run"


def kernel_times(events: Iterable[dict[str, Any]]) -> tuple[KernelTimes, ...]:
    """The kernels' times in the runs after warm-up."""
    runs = []
    current: dict[tuple[str, str], float] = defaultdict(float)
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(_KERNEL):
            kind = str(event["args"]["op_name"])
            current[name.removesuffix(_KERNEL), kind] += 1e-6 * event["dur"]
        elif name == _RUN:
            runs.append(dict(current))
            current.clear()
    return by_kernel(runs)

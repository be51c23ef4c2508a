from __future__ import annotations

from typing import Any

from lrn_deploy.backends.layer_times import WARMUP, KernelTimes
from lrn_deploy.backends.onnxruntime_trace import kernel_times


def kernel(name: str, kind: str, microseconds: int) -> dict[str, Any]:
    fields = {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds}
    return {**fields, "args": {"op_name": kind}}


RUN = {"cat": "Session", "name": "model_run", "dur": 99}


def test_times_by_kernel_and_run_without_those_of_warm_up() -> None:
    warmup = [kernel("conv", "Conv", 1000), RUN] * WARMUP
    first = [kernel("conv", "Conv", 3), kernel("twice", "Mul", 5), kernel("twice", "Mul", 7), RUN]
    second = [kernel("conv", "Conv", 4), kernel("seldom", "Add", 2), RUN]
    loading = [{"cat": "Session", "name": "session_initialization", "dur": 7, "args": {}}]
    assert [
        KernelTimes(item.name, item.kind, tuple(round(1e6 * value, 6) for value in item.seconds))
        for item in kernel_times([*loading, *warmup, *first, *second])
    ] == [
        KernelTimes("conv", "Conv", (3, 4)),
        KernelTimes("twice", "Mul", (12, 0)),
        KernelTimes("seldom", "Add", (0, 2)),
    ]

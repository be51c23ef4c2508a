"""The first runs, which are slow, are not among the times of layers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lrn_deploy.backends import layer_times
from lrn_deploy.backends.layer_times import KernelTimes, by_kernel, timed_runs
from lrn_deploy.backends.protocol import Array, SessionBase


class Slowing(SessionBase):
    """Takes 1, 2, 3, ... seconds of a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs = 0

    def run(self, _feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.runs += 1
        self.now += self.runs
        return {}


def test_the_first_three_runs_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Slowing()
    monkeypatch.setattr(layer_times.time, "perf_counter", lambda: session.now)
    after: list[int] = []
    taken = timed_runs(session, {}, 2, lambda: after.append(session.runs))
    assert taken == (4.0, 5.0)
    assert after == [1, 2, 3, 4, 5]


def test_kernels_of_the_first_three_runs_are_not_kept() -> None:
    conv, reorder = ("conv", "Conv"), ("reorder", "Reorder")
    warm = {conv: 9.0, ("first", "Allocate"): 9.0}
    kernels = by_kernel([warm, warm, warm, {conv: 1.0}, {reorder: 3.0, conv: 2.0}])
    assert kernels == (
        KernelTimes("conv", "Conv", (1.0, 2.0)),
        KernelTimes("reorder", "Reorder", (0.0, 3.0)),
    )

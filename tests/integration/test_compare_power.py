"""The benchmark of --compare, on work whose length is known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks import compare_power
from benchmarks.compare_power import Case, compare, repeat, sessions, slowed
from lrn_deploy.latency.effort import Effort

pytestmark = pytest.mark.usefixtures("unmeasured")

LENGTH = 1e-3


def work() -> None:
    until = time.perf_counter() + LENGTH
    while time.perf_counter() < until:
        pass


def test_a_slowed_run_takes_as_much_longer_as_it_should() -> None:
    before = time.perf_counter()
    slowed(work, 2.0)()
    assert time.perf_counter() - before >= 3 * LENGTH


def test_answers_are_counted() -> None:
    found = repeat(work, work, Effort(10, 1.0), 2, by=5.0)
    assert found["right"] == {"slowed": 2, "unchanged": 2}
    assert found["answers"]["slowed"] == {"regression": 2}
    for item in found["comparisons"]["slowed"]:
        assert item["ratio"]["low"] > 1 + compare_power.LIMIT


def test_a_real_network(tmp_path: Path) -> None:
    case = Case("digits", 1, 1, Effort(8, 1.0))
    with sessions(case, tmp_path / "bundle") as (new, base):
        assert compare(slowed(new, 9.0), base, case.effort, 0)["answer"] == "regression"

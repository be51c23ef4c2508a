from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lrn_deploy.latency import machine
from lrn_deploy.latency.machine import (
    Usage,
    conditions,
    foreign_cores,
    last_level_cache,
    peak_memory,
)


def test_foreign_cores_by_hand() -> None:
    # In 10 s the machine was busy for 15 core seconds, 11 of them ours.
    assert foreign_cores(Usage(0, 1, 100), Usage(10, 12, 115)) == pytest.approx(0.4)
    assert foreign_cores(Usage(0, 1, None), Usage(10, 12, None)) is None
    assert foreign_cores(Usage(0, 1, 100), Usage(10, 12, 110.9)) == 0.0  # rounding of the ticks


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_this_machine_is_described() -> None:
    now = conditions()
    assert now.affinity
    assert now.memory_total is not None
    assert now.memory_total > 2**28
    cache = last_level_cache()
    assert cache is None or cache >= 2**18


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_peak_memory_is_a_process_s_own() -> None:
    here = bytearray(200 << 20)
    here[::4096] = b"x" * len(here[::4096])
    code = "from lrn_deploy.latency.machine import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = peak_memory()
    assert own is not None
    assert own > 200 << 20
    assert int(child.stdout) < 150 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_time_that_the_host_gave_to_another_guest_counts_as_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # user, nice, system, idle, waiting for a disk, two kinds of interrupts, stolen; and guests,
    # whose time is in the first two already: proc_stat(5).
    stat = "cpu  100 10 20 5000 300 4 5 61 7 8\ncpu0 1 2 3 4 5 6 7 8 9 10"
    monkeypatch.setattr(machine, "_read", lambda _path: stat)
    ticks = os.sysconf("SC_CLK_TCK")
    assert machine._busy_seconds() == (100 + 10 + 20 + 4 + 5 + 61) / ticks

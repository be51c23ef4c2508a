from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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
    assert now.affinity == tuple(sorted(os.sched_getaffinity(0)))
    (total,) = re.findall(r"^MemTotal: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.M)
    assert now.memory_total == pytest.approx(int(total) * 1024, rel=0.01)
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


def files(monkeypatch: pytest.MonkeyPatch, content: dict[str, str]) -> None:
    monkeypatch.setattr(machine, "_read", lambda path: content.get(str(path), ""))


def test_time_between_two_moments_is_needed_to_tell_who_was_busy() -> None:
    assert foreign_cores(Usage(1, 0, 0), Usage(1, 0, 5)) is None
    assert foreign_cores(Usage(0, 0, 0), Usage(1, 0, None)) is None
    assert foreign_cores(Usage(0, 0, 0), Usage(2, 1, 4)) == pytest.approx(1.5)


@pytest.mark.parametrize("stat", ["", "cpu 1 2 3 4 5 6 7", "cpu0 1 2 3 4 5 6 7 8", "x"])
def test_what_is_no_line_of_all_processors_says_nothing(
    monkeypatch: pytest.MonkeyPatch, stat: str
) -> None:
    files(monkeypatch, {"/proc/stat": stat})
    assert machine._busy_seconds() is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("32K", 32 * 2**10), ("3M", 3 * 2**20), ("32", None), ("xK", None), ("", None), ("K", None)],
)
def test_sizes_of_caches(text: str, size: int | None) -> None:
    assert machine._cache_size(text) == size


def test_clocks_are_those_that_the_system_scales_or_those_of_cpuinfo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files(
        monkeypatch, {"/proc/cpuinfo": "model name : X 3 GHz\ncpu MHz\t\t: 2100.5\ncpu MHz : 800"}
    )
    monkeypatch.setattr(machine, "_CPU", type("None", (), {"glob": lambda *_: []})())
    assert machine._clocks() == (2100.5, 800.0)
    paths = {"b": "1500000", "a": "3000000", "c": ""}
    files(monkeypatch, paths)
    monkeypatch.setattr(machine, "_CPU", type("Some", (), {"glob": lambda *_: list(paths)})())
    assert machine._clocks() == (3000.0, 1500.0)


def test_the_largest_cache_and_the_governor_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in {
        "cache/index0/size": "48K", "cache/index3/size": "36M", "cache/index2/size": "2M\n",
        "cpufreq/scaling_governor": "powersave\n",
    }.items():  # fmt: skip
        file = tmp_path / "cpu0" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    assert last_level_cache() == 36 * 2**20
    assert conditions().governor == "powersave"
    monkeypatch.setattr(machine, "_CPU", tmp_path / "none")
    assert last_level_cache() is None
    assert conditions().governor == "unknown"


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")
def test_peak_memory_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, {"/proc/self/status": "VmPeak:  9 kB\nVmHWM:\t     123 kB\nVmRSS: 5 kB"})
    assert peak_memory() == 123 * 1024


def test_own_time_is_that_of_the_children_too(monkeypatch: pytest.MonkeyPatch) -> None:
    times = os.times_result((1.0, 2.0, 4.0, 8.0, 16.0))
    monkeypatch.setattr(machine.os, "times", lambda: times)
    assert machine.usage().own == 15.0


def test_the_load_is_that_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (1.5, 2.5, 3.5))
    assert conditions().load == 1.5

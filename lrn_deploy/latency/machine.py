"""The machine while it was measured: affinity, clocks, caches, and who else used it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_CPU = Path("/sys/devices/system/cpu")
MAX_FOREIGN_CORES = 0.25
"""Other processes that keep a quarter of a core busy disturb a measurement."""


@dataclass(frozen=True)
class Conditions:
    """What a measurement depended on besides the processor.

    Attributes:
        affinity: Numbers of the cores that this process may use; empty where that is unknown.
        clocks_mhz: Current clock of each core in MHz; empty where that is unknown.
        governor: The frequency governor of the first core, or ``unknown``.
        load: Load average of the last minute, or None.
        memory_total: Bytes of memory, or None.
    """

    affinity: tuple[int, ...]
    clocks_mhz: tuple[float, ...]
    governor: str
    load: float | None
    memory_total: int | None


@dataclass(frozen=True)
class Usage:
    """Processor time up to a moment, in seconds.

    Attributes:
        at: When, on the monotonic clock.
        own: User and system time of this process and its children that have ended.
        busy: Time that all cores were busy, stolen time included; None where unknown.
    """

    at: float
    own: float
    busy: float | None


def conditions() -> Conditions:
    """Affinity, clocks and load at this moment."""
    return Conditions(
        affinity=_affinity(),
        clocks_mhz=_clocks(),
        governor=_read(_CPU / "cpu0/cpufreq/scaling_governor") or "unknown",
        load=_load(),
        memory_total=_memory(),
    )


def usage() -> Usage:
    """Processor time used so far; two of them go into :func:`foreign_cores`."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return Usage(time.monotonic(), own, _busy_seconds())


def foreign_cores(before: Usage, after: Usage) -> float | None:
    """How many cores other processes, or other guests of the host, kept busy in between.

    Returns:
        0.5 for half of one core; None where the system does not say.
    """
    if before.busy is None or after.busy is None or after.at <= before.at:
        return None
    foreign = (after.busy - before.busy) - (after.own - before.own)
    return max(foreign / (after.at - before.at), 0.0)


def last_level_cache() -> int | None:
    """Bytes of the first core's largest cache, or None where the system does not say."""
    sizes = [_cache_size(_read(path)) for path in _CPU.glob("cpu0/cache/index*/size")]
    return max((size for size in sizes if size), default=None)


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, in bytes; None where unknown.

    Linux's ``ru_maxrss`` survives exec, so a child would report its parent's peak; ``VmHWM`` does
    not (getrusage(2) and proc_pid_status(5)).
    """
    for line in _read(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _affinity() -> tuple[int, ...]:
    try:
        return tuple(sorted(os.sched_getaffinity(0)))
    except AttributeError:  # macOS and Windows
        return ()


def _clocks() -> tuple[float, ...]:
    scaled = [_read(path) for path in sorted(_CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    if any(scaled):
        return tuple(int(text) / 1000 for text in scaled if text)
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    return tuple(float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz"))


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows
        return None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows
        return None


def _busy_seconds() -> float | None:
    """Seconds in all states but idle and waiting for a disk, from proc_stat(5)."""
    first = _read(Path("/proc/stat")).partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu":
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(part) for part in first[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _cache_size(text: str) -> int | None:
    units = {"K": 1024, "M": 1024**2}
    if text and text[-1] in units and text[:-1].isdecimal():
        return int(text[:-1]) * units[text[-1]]
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

"""What a process holds at a moment: memory, open files, threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What the kernel says of a process.

    Attributes:
        resident: Bytes of resident memory, shared pages included.
        files: Open file descriptors.
        threads: Threads.
    """

    resident: int
    files: int
    threads: int


def usage(pid: int) -> Usage:
    """Look at a process.

    Raises:
        OSError: If it is not there any more.
    """
    folder = Path("/proc", str(pid))
    resident = int((folder / "statm").read_text().split()[1]) * _PAGE
    return Usage(resident, _count(folder / "fd"), _count(folder / "task"))


def _count(folder: Path) -> int:
    with os.scandir(folder) as entries:  # there may be ten thousand of them
        return sum(1 for _ in entries)

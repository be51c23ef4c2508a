"""What the runtime alone can do, in a process that has nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Server


@dataclass(frozen=True)
class Offline:
    """A bare session that has run batch 1 and the largest batch.

    Attributes:
        process: Whose memory can be looked at.
    """

    process: Server
    _pipe: subprocess.Popen[str]

    def per_second(self, seconds: float) -> float:
        """Rows in a second, in whole batches, one after the other, for so long."""
        assert self._pipe.stdin is not None
        self._pipe.stdin.write(f"{seconds}\n")
        self._pipe.stdin.flush()
        told = _told(self._pipe)
        return float(told["rows"] / told["seconds"])


@contextmanager
def offline(graph: Path, threads: int, rows: int) -> Iterator[Offline]:
    """Load a graph in a process of its own."""
    program = Path(__file__).with_name("offline_app.py")
    command = [sys.executable, str(program), str(graph), str(threads), str(rows)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as pipe:
        try:
            _told(pipe)
            yield Offline(Server(pipe.pid, 0), pipe)
        finally:
            pipe.kill()


def _told(pipe: subprocess.Popen[str]) -> dict[str, Any]:
    assert pipe.stdout is not None
    told: dict[str, Any] = json.loads(pipe.stdout.readline())
    return told

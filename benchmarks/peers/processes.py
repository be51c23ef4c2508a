"""Servers as processes: start one, wait until it answers, see what it uses, end it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 120
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        pid: Of the process that was started, whose descendants count, too.
        http_port: Where it answers HTTP.
        grpc_port: Where it answers gRPC, if it does.
        metrics_port: Where its metrics are, if it has any.
    """

    pid: int
    http_port: int
    grpc_port: int = 0
    metrics_port: int = 0

    @property
    def http(self) -> str:
        """Address of HTTP, as tritonclient takes it."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        """Address of gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    def pause(self) -> None:
        """Stop all its processes where they are: some poll even when nobody asks."""
        _signal(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        _signal(self.pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far, user and system."""
        ticks = 0
        for process in family(self.pid):
            with suppress(OSError):
                fields = (process / "stat").read_text().rpartition(") ")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Resident memory of all its processes, what they share counted once (PSS)."""
        kilobytes = 0
        for process in family(self.pid):
            with suppress(OSError):
                lines = (process / "smaps_rollup").read_text().splitlines()
                kilobytes += next(int(line.split()[1]) for line in lines if line[:4] == "Pss:")
        return kilobytes * 1024


@contextmanager
def running(
    command: Sequence[str | Path],
    ready: str,
    ports: Sequence[int],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    ca: Path | None = None,
) -> Iterator[Server]:
    """Start a server, wait until it is ready, and end it with all its children.

    Args:
        command: What to run.
        ready: Path that answers 200 when it is ready.
        ports: Its ports of HTTP and, where it has them, of gRPC and of metrics.
        env: Variables beside those there are.
        cwd: Where it runs.
        ca: PEM file of what vouches for it, if its first port speaks TLS.

    Raises:
        RuntimeError: If it ends, or is not ready in time; with what it said.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=log,
            stderr=log,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + _START_SECONDS
            while not _answers(ports[0], ready, ca):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not start:\n{log.read()[-4000:]}")
                time.sleep(_POLL_SECONDS)
            yield Server(process.pid, *ports)
        finally:
            _end(process)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def family(pid: int) -> list[Path]:
    """A process and all that descend from it, as folders of /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:  # grows while it is gone through
        found += children.get(one, [])
    return [Path("/proc", str(one)) for one in found]


def _signal(pid: int, number: signal.Signals) -> None:
    for process in family(pid):
        with suppress(ProcessLookupError):
            os.kill(int(process.name), number)


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal(process.pid, signal.SIGCONT)
    children = family(process.pid)[1:]
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:  # those that outlived it
        with suppress(ProcessLookupError):
            os.kill(int(child.name), signal.SIGKILL)


def _answers(port: int, path: str, ca: Path | None) -> bool:
    context = ssl.create_default_context(cafile=str(ca)) if ca else None
    url = f"{'https' if ca else 'http'}://127.0.0.1:{port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False

"""Real servers for tests: processes of their own, on free ports of the loopback address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any

from tests.support.warm import Warmed

START = [sys.executable, "-c", "from lrn_deploy.lrn_server import main; main()"]
IMPATIENT = [
    sys.executable,
    "-c",
    "from lrn_deploy.serving import supervise;"
    "supervise._CHECK_SECONDS = 0.2; supervise._ANSWER_SECONDS = 0.7;"
    "from lrn_deploy.lrn_server import main; main()",
]
"""A parent that gives a server up after three seconds of silence, not nine."""


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


@dataclass
class Running:
    """A server that is ready."""

    process: subprocess.Popen[str]
    ports: dict[str, Any]
    log: IO[str]

    @property
    def http(self) -> str:
        """Address of HTTP, as tritonclient takes it."""
        return f"127.0.0.1:{self.ports['http_port']}"

    @property
    def grpc(self) -> str:
        """Address of gRPC."""
        return f"127.0.0.1:{self.ports['grpc_port']}"

    def connect(self) -> HTTPConnection:
        """A connection of one's own."""
        return HTTPConnection("127.0.0.1", self.ports["http_port"], timeout=20)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def said(self) -> str:
        """What it has written to stderr."""
        self.log.flush()
        return Path(self.log.name).read_text()

    def finish(self, timeout: float = 20) -> int:
        """Wait for its end; returns its exit code."""
        return self.process.wait(timeout)


def ended(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """What a server said that ends of itself; it is forked, as by :func:`serving`."""
    with Warmed(
        [*START, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, error = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def ask(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    **headers: str,
) -> Reply:
    """One request on an open connection; a ``_`` in a header's name stands for ``-``."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, found, response.read())


@contextmanager
def serving(
    *arguments: str | Path,
    start: Sequence[str] = START,
    env: Mapping[str, str] | None = None,
    http_port: int = 0,
    warm: bool = True,
    measured: bool = True,
) -> Iterator[Running]:
    """Start a server, wait until it is ready, and end it when the block ends.

    Args:
        arguments: Bundles and options.
        start: What begins the command.
        env: Its environment; None: that of this process.
        http_port: Where it listens; 0: anywhere.
        warm: Whether it may be forked from a process that has the imports behind it.
        measured: Whether its lines count for coverage, if any do: many requests take half the time
            where they do not.
    """
    env = dict(os.environ if env is None else env)
    if not measured:
        env.pop("COVERAGE_PROCESS_CONFIG", None)
    if start[0] == sys.executable:
        env.setdefault("LRN_SERVER_THREADS", "1")  # several would spin between their runs
    ports = ["--http-port", str(http_port), "--grpc-port", "0", "--json"]
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = (Warmed if warm else subprocess.Popen)(
            [*start, *map(str, arguments), *ports],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=env,
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip() == "}":
                break
        try:
            if not lines:
                raise RuntimeError(Path(log.name).read_text())
            yield Running(process, json.loads("".join(lines)), log)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            process.stdout.close()

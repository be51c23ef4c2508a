"""lrn-server as a process that is measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.processes import Server, free_ports, running


@contextmanager
def lrn_server(*arguments: str | Path, ca: Path | None = None) -> Iterator[Server]:
    """Serve bundles.

    Args:
        arguments: Bundles and options, but no ports.
        ca: PEM file of what vouches for it, if it speaks TLS.
    """
    ports = free_ports(3)
    options = ("--http-port", "--grpc-port", "--metrics-port")
    command: list[str | Path] = [sys.executable, "-m", "lrn_deploy.lrn_server", *arguments]
    for option, port in zip(options, ports, strict=True):
        command += [option, str(port)]
    with running(command, "/v2/health/ready", ports, ca=ca) as server:
        yield server

"""A server whose process may have few files: connections use them up, and it recovers."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.usage import usage
from tests.support.image_bundles import colour_bundle
from tests.support.servers import Running, ask, serving

_FILES = 128
_FEW = [
    sys.executable,
    "-c",
    f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({_FILES}, {_FILES}))\n"
    "from lrn_deploy.lrn_server import main; main()",
]


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def cpu_seconds(server: Running) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_files_it_waits_says_so_and_goes_on(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "colours")
    many = ("--max-connections", "10000", "--max-connections-per-peer", "0")
    with serving(
        tmp_path / "colours", "--threads", "1", "--access-log", "none", *many, start=_FEW
    ) as server:
        held = server.connect()
        assert ask(held, "GET", "/v2").status == 200
        with ExitStack() as stack:
            address = ("127.0.0.1", server.ports["http_port"])
            for _ in range(_FILES):
                stack.enter_context(socket.create_connection(address, 5))
            until(lambda: "no connection can be accepted" in server.said())
            assert usage(server.process.pid).files >= _FILES - 1
            assert ask(held, "GET", "/v2/health/live").status == 200  # who is in is served
            before = cpu_seconds(server)
            time.sleep(0.2)
            assert cpu_seconds(server) - before < 0.1  # it does not try without a pause
        assert server.call("GET", "/v2").status == 200
        until(lambda: "Connections are accepted again." in server.said())
        until(lambda: usage(server.process.pid).files < _FILES - 32)
        assert server.said().count("no connection can be accepted") == 1
        held.close()


def test_it_takes_as_many_files_as_it_may_have(tmp_path: Path) -> None:
    colour_bundle(tmp_path / "colours")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    start = [*_FEW[:2], _FEW[2].replace(f"({_FILES}, {_FILES})", f"({_FILES}, {hard})")]
    with serving(
        tmp_path / "colours", "--threads", "1", "--access-log", "none", start=start
    ) as server:
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert int(line.split()[3]) == min(hard, 2**16)
    assert soft > _FILES

"""Too many connections, too few files, and an answer that nobody takes, at a real server."""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from benchmarks.usage import usage
from tests.support.colours import answers, eventually
from tests.support.image_bundles import colour_bundle
from tests.support.servers import Running, serving

OPTIONS = ("--threads", "1", "--access-log", "none")
READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("colours") / "colours"
    colour_bundle(path)
    return path


@pytest.fixture(scope="module")
def strict(bundle: Path) -> Iterator[Running]:
    limits = ("--max-connections-per-peer", "3", "--answer-seconds", "0.5")
    with serving(bundle, *OPTIONS, *limits) as running:
        yield running


def connect(running: Running, peer: str = "127.0.0.1") -> socket.socket:
    address = ("127.0.0.1", running.ports["http_port"])
    return socket.create_connection(address, 5, source_address=(peer, 0))


def served(connection: socket.socket) -> bool:
    connection.sendall(READY)
    return connection.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_peer_that_opens_too_many_is_told_so_and_harms_no_other(strict: Running) -> None:
    with ExitStack() as stack:
        three = [stack.enter_context(connect(strict)) for _ in range(3)]
        assert all(map(served, three))
        with connect(strict) as fourth:
            heard = b"".join(iter(lambda: fourth.recv(4096), b""))
        assert heard.startswith(b"HTTP/1.1 503 ")
        assert b"3 connections of 127.0.0.1 are open" in heard
        assert b"\r\nx-request-id: " in heard
        other = stack.enter_context(connect(strict, "127.0.0.2"))
        assert served(other)
        assert all(map(served, three))
        three[0].close()

        def another() -> bool:
            with connect(strict) as fifth:
                return served(fifth)

        assert eventually(another)
    assert eventually(lambda: answers(strict))


def test_an_answer_that_is_not_taken_in_time_is_dropped_with_its_client(strict: Running) -> None:
    assert answers(strict)
    before = usage(strict.process.pid)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", strict.ports["http_port"]))
        slow.settimeout(0.2)
        started = time.monotonic()
        with suppress(OSError):  # no room, then no connection
            while time.monotonic() - started < 10:
                slow.sendall(METRICS * 100)
        ended = select.poll()
        ended.register(slow, 0)  # which tells an end without reading
        assert ended.poll(20_000)  # the usual time is longer
        assert time.monotonic() - started > 0.4
    assert answers(strict)
    assert usage(strict.process.pid).resident - before.resident < 16 * 2**20


def test_no_file_left_keeps_those_waiting_who_come_and_nobody_else(bundle: Path) -> None:
    with serving(bundle, *OPTIONS) as running, ExitStack() as stack:
        pid, kind = running.process.pid, resource.RLIMIT_NOFILE
        idle = usage(pid).files
        assert answers(running)
        assert eventually(lambda: usage(pid).files == idle)
        before = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (idle + 3, before[1]))
        there = [stack.enter_context(connect(running)) for _ in range(3)]
        assert all(map(served, there))
        coming = [stack.enter_context(connect(running)) for _ in range(5)]
        for one in coming:
            one.sendall(READY)
            one.settimeout(0.05)
            with pytest.raises(TimeoutError):
                one.recv(4096)
        spent, started = cpu_seconds(pid), time.monotonic()
        while time.monotonic() - started < 0.7:
            assert all(map(served, there))
            time.sleep(0.05)
        assert cpu_seconds(pid) - spent < 0.5  # it does not try without a rest
        assert running.said().count("no connection can be accepted") == 1

        for one in coming:
            one.settimeout(5)
        there[0].close()  # room for one
        assert coming[0].recv(4096).startswith(b"HTTP/1.1 200 OK")
        resource.prlimit(pid, kind, before)  # room for all
        for one in coming[1:]:
            assert one.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert "accepted again" in running.said()
        assert answers(running)

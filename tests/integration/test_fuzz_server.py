"""A short fuzz of a server, and of it behind a faulty line; ``benchmarks.fuzz_server`` has more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from benchmarks.fuzz_server import run, wire
from benchmarks.fuzz_server.__main__ import served
from benchmarks.fuzz_server.run import Tally, Target, fuzz_grpc, fuzz_http

pytestmark = pytest.mark.usefixtures("unmeasured")
SEED = 1


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with served(warm=True) as (target, _):
        yield target


def test_changed_requests_are_answered_rightly_or_refused(target: Target) -> None:
    warm, tally = Tally(), Tally()
    fuzz_http(target, SEED + 1, range(100), warm)
    fuzz_grpc(target, SEED + 1, range(50), warm)
    before = target.usage()
    fuzz_http(target, SEED, range(700), tally)
    fuzz_grpc(target, SEED, range(200), tally)
    assert warm.wrong + tally.wrong == []
    found = run.checks(tally, before, target.usage())
    assert found["every known answer right"] == (True, "25 of 25")
    assert found["no more memory than 20 MiB"][0], found
    told = {status for counts in tally.counts.values() for status in counts}
    assert {"200", "400", "404", "413", "OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= told


@contextmanager
def through(port: int, change: Callable[[bytes], bytes]) -> Iterator[int]:
    """A port whose connections lead to another, with what comes back changed."""
    stop = threading.Event()

    def pass_on(source: socket.socket, sink: socket.socket, edit: Callable[[bytes], bytes]) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                sink.sendall(edit(data))
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            up = threading.Thread(target=pass_on, args=(near, far, bytes))
            up.start()
            pass_on(far, near, change)
            with suppress(OSError):
                near.shutdown(socket.SHUT_RD)
            up.join()

    def accept() -> None:
        with suppress(OSError):
            while not stop.is_set():
                threading.Thread(target=serve, args=(listener.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "other scores": (lambda data: data.replace(b"[10.0, 0.0", b"[10.0, 0.5"), "in place of"),
    "another class": (lambda data: data.replace(b'"red"', b'"dog"'), "a known request"),
    "a 500": (lambda data: data.replace(b"HTTP/1.1 400 ", b"HTTP/1.1 500 "), "status 500"),
    "no id": (lambda data: data.replace(b"\r\nx-request-id", b"\r\nx-request-no"), "no request id"),
    "no reason": (lambda data: data.replace(b'{"error": ', b'{"errar": '), "without a sentence"),
    "a second answer": (lambda data: data + b"HTTP", "no answer: b'HTTP"),
    "no answer": (lambda _: b"", "hung"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_does_wrong_is_caught(
    target: Target, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, said = FAULTS[fault]
    tally = Tally()
    monkeypatch.setattr(wire, "PATIENCE", 0.1)
    with through(target.http_port, change) as port:
        fuzz_http(replace(target, http_port=port), SEED, range(10 if said == "hung" else 60), tally)
    assert any(said in one["what"] for one in tally.wrong), tally.wrong[:5]


def test_a_server_that_leaks_is_caught() -> None:
    with served("memory=300000", warm=True) as (leaking, _):
        tally = Tally()
        fuzz_http(leaking, SEED, range(20), Tally())
        before = leaking.usage()
        fuzz_http(leaking, SEED, range(100), tally)
        found = run.checks(tally, before, leaking.usage())
    assert not found["no more memory than 20 MiB"][0], found
    assert tally.wrong == []

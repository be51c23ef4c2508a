"""Who may connect: how many, from where, and what happens when descriptors run out."""

from __future__ import annotations

import errno
import json
import re
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from lrn_deploy.serving.http import accept
from lrn_deploy.serving.http.crowd import Crowd
from tests.support.inside import Inside, inside

GET = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def until(condition: Callable[[], object]) -> None:
    """Wait for what the server's thread is about to do."""
    limit = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def ask(server: Inside) -> socket.socket:
    """A connection that has been answered once."""
    connection = socket.create_connection(("127.0.0.1", server.http.port), 5)
    connection.sendall(GET)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    return connection


def test_connections_are_counted_for_each_peer_and_in_all() -> None:
    crowd = Crowd(3, 2)
    assert [crowd.enter("10.0.0.1"), crowd.enter("10.0.0.1")] == ["", ""]
    assert crowd.enter("10.0.0.1").startswith("2 connections of 10.0.0.1 are open")
    assert crowd.enter("10.0.0.2") == ""
    assert crowd.enter("10.0.0.3") == "3 connections are open, which is the limit."
    crowd.leave("10.0.0.1")
    assert (crowd.enter("10.0.0.1"), crowd.count) == ("", 3)


def test_one_ipv6_network_is_one_peer_and_a_mapped_address_is_its_ipv4() -> None:
    crowd = Crowd(100, 1)
    assert crowd.enter("2001:db8::1") == ""
    assert "2001:db8::/64" in crowd.enter("2001:db8::ffff:1")
    assert crowd.enter("2001:db8:0:1::1") == ""
    assert crowd.enter("fe80::1%eth0") == ""
    assert crowd.enter("::ffff:10.0.0.1") == ""
    assert "of 10.0.0.1 are" in crowd.enter("10.0.0.1")
    crowd.leave("2001:db8::2")
    assert crowd.enter("2001:db8::3") == ""


def test_without_a_limit_there_is_that_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (200, 1000))
    crowd = Crowd(0, 0)
    assert [crowd.enter("a") for _ in range(72)] == [""] * 72
    assert "72 connections are open" in crowd.enter("a")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 1000))
    few = Crowd()  # 128 are for other things, but some connections there must be
    assert [few.enter("a") for _ in range(16)] == [""] * 16
    assert "16 connections are open" in few.enter("a")
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: endless)
    assert Crowd()._most > 1_000_000


def test_nobody_is_remembered_who_has_left() -> None:
    crowd = Crowd(10, 10)
    for number in range(1000):
        crowd.enter(f"10.0.{number >> 8}.{number & 255}")
        crowd.leave(f"10.0.{number >> 8}.{number & 255}")
    assert (crowd.count, len(crowd._peers)) == (0, 0)


def test_a_peer_with_too_many_is_told_so_and_let_in_again() -> None:
    with inside(max_connections_per_peer=2) as server:
        first, second = ask(server), ask(server)
        with socket.create_connection(("127.0.0.1", server.http.port), 5) as third:
            answer = b"".join(iter(lambda: third.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in head
        content = json.loads(body)
        assert content["error"] == (
            "2 connections of 127.0.0.1 are open, which is the limit for one peer; keep them open "
            "and use them again."
        )
        assert f"x-request-id: {content['request_id']}".encode() in head
        until(lambda: not server.http._acceptor._beginning)  # nothing is kept of who is in
        first.sendall(GET)  # whom it does not harm
        assert first.recv(1000).startswith(b"HTTP/1.1 200 ")
        second.close()
        until(lambda: server.http.shared.crowd.count == 1)
        ask(server).close()
        first.close()


def test_all_together_are_limited_too() -> None:
    with inside(max_connections=1, max_connections_per_peer=0) as server:
        first = ask(server)
        with socket.create_connection(("127.0.0.1", server.http.port), 5) as second:
            assert b"1 connections are open" in b"".join(iter(lambda: second.recv(65536), b""))
        first.close()


def test_who_is_not_among_those_accepted_at_once_is_accepted_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accept, "_AT_ONCE", 1)
    with inside() as server:
        for one in [socket.create_connection(("127.0.0.1", server.http.port), 5) for _ in range(3)]:
            with one:
                one.sendall(GET)
                assert one.recv(1000).startswith(b"HTTP/1.1 200 ")


class Short:
    """A listening socket whose process has no descriptors left for a while."""

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.tries = 0
        self.until = time.monotonic() + 0.1

    def accept(self) -> Any:
        self.tries += 1
        if time.monotonic() < self.until:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.real.accept()

    def fileno(self) -> int:
        return self.real.fileno()


def test_without_descriptors_it_pauses_says_so_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accept, "_PAUSE_SECONDS", 0.02)
    with inside() as server:
        short = Short(server.http._socket)
        monkeypatch.setattr(server.http._acceptor, "_socket", short)
        ask(server).close()
    assert 1 < short.tries < 20  # it did not try without a pause
    assert server.said == [
        "Warning: no connection can be accepted: Too many open files; those that come wait until "
        "others are closed.",
        "Connections are accepted again.",
    ]


def test_who_does_not_read_its_answers_is_dropped_in_time() -> None:
    with inside(answer_seconds=0.1) as server:
        other = ask(server)
        with socket.create_connection(("127.0.0.1", server.http.port), 5) as greedy:
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            greedy.settimeout(0.2)
            many = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
            try:
                while True:  # until the server reads no more either, or has dropped us
                    greedy.sendall(many)
            except OSError:
                pass
            until(lambda: server.http.shared.crowd.count == 1)
        other.sendall(GET)
        assert other.recv(1000).startswith(b"HTTP/1.1 200 ")
        other.close()


def test_an_answer_says_nothing_of_who_gives_it() -> None:
    with inside() as server:
        for path in ("/v2", "/none", "/metrics"):
            connection = server.connect()
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            headers = {name.lower(): value for name, value in response.getheaders()}
            connection.close()
            assert not {"server", "via", "x-powered-by"} & set(headers)
            told = " ".join(value for name, value in headers.items() if name != "x-request-id")
            told = told.replace("version=0.0.4", "")  # of Prometheus' text format
            assert not re.search(r"lrn|python|\d\.\d+\.\d", told, re.IGNORECASE)

"""Connections: how many are kept, which are closed, how long one may take, how bytes are sent."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.client import LostError, UnreachableError
from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.http import sockets, streams
from lrn_deploy.client.http.wire import AnswerReader, HttpAnswer, HttpRequest
from tests.support import virtual_time

AT = Address("http", "127.0.0.1", 1)
NOBODY = Credentials()
ASKED = HttpRequest("GET", "/")


def test_threads_keep_as_many_connections_as_64() -> None:
    pool = sockets.Sockets(AT, NOBODY)
    closed: list[int] = []
    for number in range(70):
        connection: Any = SimpleNamespace(close=lambda number=number: closed.append(number))
        pool._give(connection, HttpAnswer(200))
    assert len(pool._idle) == 64
    assert closed == list(range(64, 70))
    pool.close()
    assert sorted(closed) == list(range(70))


def test_tasks_keep_as_many_connections_as_64(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    class Connection:
        async def exchange(self, _buffers: Any) -> HttpAnswer:
            await asyncio.sleep(0.01)
            return HttpAnswer(200)

        def close(self) -> None:
            closed.append(1)

    async def opened(_pool: Any) -> Connection:
        return Connection()

    async def run() -> int:
        pool = streams.Streams(AT, NOBODY)
        await asyncio.gather(*(pool.exchange(ASKED) for _ in range(70)))
        kept = len(pool._idle)
        await pool.close()
        return kept

    monkeypatch.setattr(streams.Streams, "_open", opened)
    assert virtual_time.run(run()) == 64
    assert len(closed) == 70


def test_a_connection_may_take_ten_seconds_and_no_longer_than_its_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[float] = []

    def silent(address: tuple[str, int], limit: float) -> Any:
        assert address == ("127.0.0.1", 1)
        limits.append(limit)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    pool = sockets.Sockets(AT, NOBODY)
    for seconds in (None, 60.0):
        with pytest.raises(UnreachableError, match="Nobody answers"):
            pool.exchange(ASKED, seconds)
    with pytest.raises(TimeoutError):  # which is the request's
        pool.exchange(ASKED, 9.0)
    assert limits[:2] == [10, 10]
    assert limits[2] <= 9


def test_small_packets_are_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, int]] = []
    opened = SimpleNamespace(setsockopt=lambda *option: told.append(option))
    monkeypatch.setattr(socket, "create_connection", lambda *_: opened)
    sockets._Connection(AT, None, None)
    assert told == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


def test_a_task_waits_ten_seconds_for_a_connection_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(100)

    async def run() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(UnreachableError):
            await streams.Streams(AT, NOBODY).exchange(ASKED)
        return loop.time() - start

    monkeypatch.setattr(asyncio, "open_connection", silent)
    assert virtual_time.run(run()) == pytest.approx(10)


def test_the_time_is_up_when_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    assert sockets._left(None) is None
    assert sockets._left(7.5) == 0.5
    for until in (7.0, 6.0):
        with pytest.raises(TimeoutError):
            sockets._left(until)


class Kept:
    """A connection that is kept, which still is good or not, and answers or fails."""

    def __init__(self, good: bool, answer: HttpAnswer | Exception) -> None:
        self.usable = good
        self.answer = answer
        self.closed = 0

    def quiet(self) -> bool:
        return self.usable

    def exchange(self, *_: Any) -> HttpAnswer:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed += 1


class Awaited(Kept):
    async def exchange(self, *_: Any) -> HttpAnswer:  # type: ignore[override]  # whatever it is asked
        return super().exchange()


def by_threads(*kept: Kept) -> tuple[HttpAnswer, list[Any]]:
    pool = sockets.Sockets(AT, NOBODY)
    pool._idle = [*kept]  # type: ignore[list-item]  # as far as they are used
    try:
        return pool.exchange(ASKED, None), pool._idle
    finally:
        pool.close()


def by_tasks(*kept: Kept) -> tuple[HttpAnswer, list[Any]]:
    async def run() -> tuple[HttpAnswer, list[Any]]:
        pool = streams.Streams(AT, NOBODY)
        pool._idle = [Awaited(one.usable, one.answer) for one in kept]  # type: ignore[misc]  # likewise
        made: list[Any] = [*pool._idle]
        try:
            return await pool.exchange(ASKED), [*pool._idle]
        finally:
            await pool.close()
            for one, other in zip(kept, made, strict=True):
                one.closed = other.closed

    return asyncio.run(run())


@pytest.mark.parametrize("exchange", [by_threads, by_tasks])
def test_what_is_no_good_any_more_is_closed(exchange: Any) -> None:
    first, last = Kept(True, HttpAnswer(200, body=b"first")), Kept(False, HttpAnswer(500))
    answer, kept = exchange(first, last)
    assert (answer.body, len(kept)) == (b"first", 1)
    assert (first.closed, last.closed) == (1, 1)  # the first one with its pool
    ending = Kept(True, HttpAnswer(200, reusable=False))
    assert exchange(ending)[1] == []
    assert ending.closed == 1
    lost = Kept(True, LostError("Gone."))
    with pytest.raises(LostError):
        exchange(lost)
    assert lost.closed == 1


class Wire:
    """A socket that takes so many bytes at a time."""

    def __init__(self, most: int = 0, *pieces: bytes) -> None:
        self.most = most
        self.pieces = [*pieces]
        self.sent: list[bytes] = []
        self.limits: list[float | None] = []

    def settimeout(self, seconds: float | None) -> None:
        self.limits.append(seconds)

    def sendmsg(self, buffers: list[memoryview]) -> int:
        self.sent.append(b"".join(buffers)[: self.most])
        return len(self.sent[-1])

    def sendall(self, buffer: bytes) -> None:
        self.sent.append(buffer)

    def recv_into(self, buffer: bytearray) -> int:
        piece = self.pieces.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)


def sent(most: int, *buffers: bytes, secure: bool = False, until: float | None = None) -> Wire:
    connection: Any = object.__new__(sockets._Connection)
    connection._secure = secure
    connection._socket = wire = Wire(most)
    connection._send(buffers, until)
    return wire


def test_each_part_of_a_request_is_sent_within_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter(range(9))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    wire = sent(2, b"abc", b"", b"de", b"f", until=10.0)
    assert wire.sent == [b"ab", b"cd", b"ef"]
    assert wire.limits == [10, 9, 8]
    assert sent(9, b"abc", b"de").sent == [b"abcde"]
    assert sent(3, b"abc", b"de").sent == [b"abc", b"de"]


def test_over_tls_small_parts_are_one_and_large_ones_are_not_copied() -> None:
    small = sent(0, b"a", b"b" * 65_535, secure=True)
    assert small.sent == [b"a" + b"b" * 65_535]
    large = sent(0, b"a", b"b" * 65_536, secure=True)
    assert large.sent == [b"a", b"b" * 65_536]
    assert (len(small.limits), len(large.limits)) == (1, 2)


def test_each_piece_of_an_answer_is_awaited_within_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter(range(9))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    connection: Any = object.__new__(sockets._Connection)
    connection._buffer, connection._reader = bytearray(99), AnswerReader()
    wire = Wire(0, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", b"k")
    connection._socket = wire
    assert connection._receive(10.0).body == b"ok"
    assert wire.limits == [10, 9]

"""HTTP as bytes: any split of them, any bytes at all, and what the standard leaves no choice in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.serving.http.body import SizedBody
from lrn_deploy.serving.http.connection import HEAD_SECONDS, Connection
from lrn_deploy.serving.http.server import HttpServer
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

LIMIT = 2_000_000


class Wire(asyncio.Transport):
    """The server's end of a connection, with what it sends in memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 4711)})
        self.sent = bytearray()
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += data

    def write_eof(self) -> None:
        self.sent += b""

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def talk(pieces: Sequence[bytes], *, leave: bool = True, stopping: bool = False) -> Wire:
    """Give a connection some bytes, piece by piece, and the time to answer; then leave."""
    return asyncio.run(_talk(pieces, leave, stopping))


async def _talk(pieces: Sequence[bytes], leave: bool, stopping: bool) -> Wire:
    settings = ServerSettings(access_log="none", max_body_bytes=LIMIT)
    service = Service(Repository(ModelSettings()), settings)
    service.stopping = stopping
    front = HttpServer(App(service), "127.0.0.1", 0)
    front.shared.loop = asyncio.get_running_loop()
    connection, wire = Connection(front.shared), Wire()
    connection.connection_made(wire)
    for piece in pieces:
        while piece and not wire.closed:
            for _ in range(10):
                if wire.reading:
                    break
                await asyncio.sleep(0)
            buffer = connection.get_buffer(-1)
            assert len(buffer)
            count = min(len(piece), len(buffer))
            buffer[:count] = piece[:count]
            del buffer  # a body that grows needs it free
            connection.buffer_updated(count)
            piece = piece[count:]
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    if leave and not wire.closed and not connection.eof_received():
        wire.close()
    connection.connection_lost(None)
    assert not front.shared.connections
    front._socket.close()
    return wire


def answers(sent: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Answers with a length, one after the other."""
    found = []
    while sent:
        head, separator, sent = bytes(sent).partition(b"\r\n\r\n")
        assert separator
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        found.append((int(first.split()[1]), headers, sent[:length]))
        sent = sent[length:]
    return found


def statuses(*pieces: bytes) -> list[int]:
    return [status for status, _, _ in answers(talk(pieces).sent)]


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def in_chunks(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%X;x=1\r\n%b\r\n" % (len(part), part) for part in parts)
    head = b"POST /v2/repository/index HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\nTrailer: 1\r\n\r\n"


def twins(key: str, space: int = 0) -> bytes:
    """A body whose refusal names ``key``, so the answer tells which body was read."""
    return b" " * space + b'{"%b": 1, "%b": 2}' % (key.encode(), key.encode())


LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
REQUESTS = st.one_of(
    st.just(LIVE),
    st.just(b"\r\n" + LIVE),
    st.just(b"HEAD /v2 HTTP/1.1\r\n\r\n".replace(b"HEAD", b"GET")),
    st.just(b"GET /none?a=%20&b HTTP/1.1\r\nX-Request-Id: q\r\n\r\n"),
    st.builds(
        lambda key, space: post("/v2/repository/index", twins(key, space)),
        st.from_regex("[a-z]{1,9}", fullmatch=True),
        st.sampled_from([0, 10, 200_000]),
    ),
    st.builds(
        lambda key, size: in_chunks(twins(key), size),
        st.from_regex("[a-z]{1,9}", fullmatch=True),
        st.integers(1, 40),
    ),
    st.builds(lambda size: post("/none", b"x" * size), st.sampled_from([0, 1, 100_000])),
)


def told(wire: Wire) -> list[tuple[int, bytes]]:
    """What was answered, without what is new each time."""
    return [
        (status, re.sub(rb'"request_id": "[^"]*"', b"", body))
        for status, _, body in answers(wire.sent)
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=4), st.data())
def test_answers_do_not_depend_on_how_the_bytes_are_split(
    requests: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(requests)
    places = st.lists(st.integers(0, len(whole)), max_size=12).map(sorted)
    near = st.integers(0, min(len(whole), 300))
    cuts = data.draw(st.one_of(places, st.lists(near, max_size=40).map(sorted)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    apart = [told(talk([request]))[0] for request in requests]
    assert told(talk(pieces)) == apart


def test_one_byte_at_a_time() -> None:
    whole = LIVE + in_chunks(twins("abc"), 3) + post("/v2/repository/index", twins("de"))
    wire = talk([bytes([byte]) for byte in whole])
    assert [status for status, _ in told(wire)] == [200, 400, 400]
    assert b"'abc' is there twice" in wire.sent
    assert b"'de' is there twice" in wire.sent


@settings(max_examples=120, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda request, at, junk: request[: at % len(request)] + junk + request[at:],
            REQUESTS.filter(lambda request: len(request) < 1000),
            st.integers(0, 400),
            st.binary(max_size=8),
        ),
    )
)
def test_no_bytes_crash_it_or_keep_it_waiting_for_a_client_that_left(content: bytes) -> None:
    wire = talk([content])
    assert wire.closed or wire.sent or not content.strip(b"\r\n")
    for status, headers, body in answers(wire.sent):
        assert status < 500
        if status >= 400:
            assert json.loads(body)["request_id"] == headers["x-request-id"]


SMUGGLED = {
    "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "both lengths, the other way round": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "the same length twice": b"Content-Length: 5\r\nContent-Length: 5\r\n",
    "a list of lengths": b"Content-Length: 5, 5\r\n",
    "a signed length": b"Content-Length: +5\r\n",
    "a length beyond all numbers": b"Content-Length: 99999999999999999999\r\n",
    "an unknown coding": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked with a tab before it": b"Transfer-Encoding: \x0bchunked\r\n",
    "a space before the colon": b"Content-Length : 5\r\n",
    "a line that ends in LF": b"X: 1\nContent-Length: 5\r\n",
    "a folded line": b"X: 1\r\n Content-Length: 5\r\n",
    "a NUL": b"X: \x00\r\nContent-Length: 5\r\n",
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_a_body_that_could_be_read_in_two_ways_ends_the_connection(case: str) -> None:
    head = b"POST /v2/repository/index HTTP/1.1\r\nHost: localhost\r\n" + SMUGGLED[case] + b"\r\n"
    ((status, headers, body),) = answers(talk([head + b"0\r\n\r\n" + LIVE]).sent)
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(body)["request_id"] == headers["x-request-id"]


BROKEN_CHUNKS = (
    b"z\r\n",
    b"-1\r\n",
    b"5\nabcde",
    b"2\r\nabc\r\n",
    b"1\r\na\n0\r\n\r\n",
    b"1" * 2000,
)


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS)
def test_broken_chunks_are_refused(chunks: bytes) -> None:
    head = b"POST /v2/repository/index HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(head + chunks + LIVE) == [400]


def test_limits() -> None:
    assert statuses(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n") == [431]
    assert statuses(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000) == [431]
    big = b"POST /v2/repository/index HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1)
    assert statuses(big) == [413]  # before any of it came
    assert statuses(in_chunks(b"x" * (LIMIT + 1), 65536)) == [413]


def test_a_body_that_ends_early_is_said_with_its_length() -> None:
    wire = talk([post("/v2/repository/index", b"x" * 50)[:-1]])
    ((status, _, body),) = answers(wire.sent)
    assert (status, b"announced 50 bytes" in body) == (400, True)


def test_memory_grows_with_what_has_come_and_not_with_what_is_claimed() -> None:
    body = SizedBody(2**40)
    assert len(body.space()) <= 2**20
    large = SizedBody(5 * 2**20)
    left = bytearray(bytes(range(256)) * (5 * 2**12) + b"next")
    large.feed(left)
    assert (large.done, bytes(left)) == (True, b"next")
    assert bytes(large.content()) == bytes(range(256)) * (5 * 2**12)


def test_a_client_that_asks_first_is_told_to_go_on_or_refused() -> None:
    head = b"POST %s HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    wire = talk([head % b"/v2/repository/index", b"{}"])
    assert wire.sent.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    wire = talk([head % b"/none"])
    ((status, headers, _),) = answers(wire.sent)
    assert (status, headers["connection"]) == (404, "close")
    assert statuses(LIVE.replace(b"Host", b"Expect")) == [417]


def test_who_keeps_the_connection() -> None:
    old = b"GET /v2 HTTP/1.0\r\n\r\n"
    kept = b"GET /v2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    closed = b"GET /v2 HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert statuses(old + LIVE) == statuses(closed + LIVE) == [200]
    assert statuses(kept + LIVE) == [200, 200]
    sent = answers(talk([LIVE + LIVE], stopping=True).sent)
    assert [headers.get("connection") for _, headers, _ in sent] == ["close"]


def test_head_has_the_headers_and_no_body() -> None:
    sent = bytes(talk([b"HEAD /v2 HTTP/1.1\r\n\r\n"]).sent)
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"\r\n\r\n")
    assert int(re.findall(rb"content-length: (\d+)", sent)[0]) > 10


def test_a_stream_ends_its_chunks_when_no_more_requests_are_taken() -> None:
    async def watch() -> bytes:
        app = App(Service(Repository(ModelSettings()), ServerSettings(access_log="none")))
        front = HttpServer(app, "127.0.0.1", 0)
        await front.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"GET /v1/stats HTTP/1.1\r\n\r\n")
        first = await reader.readuntil(b"once a second\n\n")
        app.service.stopping = True
        app.service.drained.set()
        rest = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 10)
        writer.close()
        await front.stop_listening()
        front.stop()
        return first + rest

    sent = asyncio.run(watch())
    assert b"transfer-encoding: chunked" in sent
    assert sent.endswith(b"\r\n0\r\n\r\n")


def test_slow_heads_are_given_up() -> None:
    async def wait() -> tuple[float, bytes]:
        front = HttpServer(
            App(Service(Repository(ModelSettings()), ServerSettings(access_log="none"))),
            "127.0.0.1",
            0,
        )
        front.shared.loop = asyncio.get_running_loop()
        connection, wire = Connection(front.shared), Wire()
        connection.connection_made(wire)
        buffer = connection.get_buffer(-1)
        buffer[:3] = b"GET"
        connection.buffer_updated(3)
        left = connection.deadline - front.shared.loop.time()
        connection.expire()
        front._socket.close()
        return left, bytes(wire.sent)

    left, sent = asyncio.run(wait())
    assert HEAD_SECONDS - 1 < left <= HEAD_SECONDS
    assert answers(sent)[0][0] == 408


def test_a_client_that_sends_far_ahead_is_read_no_further() -> None:
    async def flood() -> tuple[bool, int]:
        front = HttpServer(
            App(Service(Repository(ModelSettings()), ServerSettings(access_log="none"))),
            "127.0.0.1",
            0,
        )
        front.shared.loop = asyncio.get_running_loop()
        connection, wire = Connection(front.shared), Wire()
        connection.connection_made(wire)
        many = LIVE * 2000
        sent = 0
        while wire.reading and sent < len(many):
            buffer = connection.get_buffer(-1)
            count = min(len(buffer), len(many) - sent)
            buffer[:count] = many[sent : sent + count]
            connection.buffer_updated(count)
            sent += count
        paused = not wire.reading
        for _ in range(10_000):
            await asyncio.sleep(0)
        front._socket.close()
        return paused and wire.reading, len(answers(wire.sent)) - sent // len(LIVE)

    assert asyncio.run(flood()) == (True, 0)


def test_the_target_may_be_a_whole_url() -> None:
    for target in ("http://x:80/v2/health/live?a=1", "/v2/health%2Flive", "/v2/health/live#x"):
        assert statuses(f"GET {target} HTTP/1.1\r\n\r\n".encode()) == [200], target
    assert statuses(b"OPTIONS * HTTP/1.1\r\n\r\n") == [404]

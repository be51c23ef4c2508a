"""How long a connection waits for what, on a clock that costs no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lrn_deploy.serving.http.message import Response
from tests.support import virtual_time
from tests.support.connections import (
    GET,
    POST,
    START,
    Line,
    Slow,
    Wire,
    ends,
    leave,
    status,
    talk,
)


def test_who_connects_and_says_nothing_is_left_after_half_a_minute() -> None:
    wire = talk(Slow(), 100.0)
    assert ends(wire) == [(30.25, "close")]
    assert wire.sent == b""


def test_a_head_has_half_a_minute_from_its_first_byte() -> None:
    wire = talk(Slow(), b"GET /", 100.0)
    assert status(wire) == 408
    assert ends(wire) == [(30.25, "eof"), (31.5, "close")]


def test_a_connection_rests_as_long_as_it_likes_and_then_has_half_a_minute_again() -> None:
    wire = talk(Slow(), GET, 500.0, b"G", 20.0, b"E", 100.0)
    assert wire.sent.startswith(b"HTTP/1.1 200 OK")
    assert ends(wire) == [(530.25, "eof"), (531.5, "close")]


def test_a_body_has_the_handlers_time() -> None:
    wire = talk(Slow(), POST, b"abc", 100.0)
    assert status(wire) == 408
    assert b"within 7 s" in wire.sent
    assert ends(wire) == [(7.25, "eof"), (8.5, "close")]


def test_the_time_of_a_body_is_over_when_it_is_there() -> None:
    handler = Slow(60.0)
    wire = talk(handler, POST + b"abcde", 100.0)
    assert status(wire) == 200
    assert wire.events == []
    assert handler.bodies == [b"abcde"]


@pytest.mark.parametrize(("seconds", "answered"), [(0.04, True), (0.07, False)])
def test_a_client_that_sends_no_more_gets_what_comes_within_a_twentieth_of_a_second(
    seconds: float, answered: bool
) -> None:
    handler = Slow(seconds)
    wire = talk(handler, GET, leave, 1.0)
    assert (b"answer" in wire.sent) == answered
    assert handler.bodies == ([b""] if answered else [])
    assert len(wire.events) == 1
    at, what = wire.events[0]
    assert what == "close"
    assert at == pytest.approx(seconds if answered else 0.05)


def test_a_client_that_leaves_between_requests_is_owed_nothing() -> None:
    wire = talk(Slow(), GET, 1.0, leave)
    assert wire.sent.count(b"HTTP/1.1") == 1
    assert ends(wire) == [(1.0, "close")]


@pytest.mark.parametrize("head", [b"GET /a HTT", b"\r\nG"])
def test_a_head_that_ends_early_is_refused(head: bytes) -> None:
    wire = talk(Slow(), head, leave)
    assert status(wire) == 400
    assert b"ended early" in wire.sent


def test_the_connection_of_a_refusal_lingers_a_second_so_that_it_can_be_read() -> None:
    handler = Slow()
    wire = talk(handler, b"bad\r\n\r\n" + b"x" * 1000, b"more" * 1000, 10.0)
    assert status(wire) == 400
    assert wire.sent.count(b"HTTP/1.1") == 1
    assert ends(wire) == [(0.0, "eof"), (1.25, "close")]
    assert handler.started == [int(START * 1e9)]


def test_a_refusal_tells_when_its_request_came_and_whose_it_is() -> None:
    handler = Slow()
    wire = talk(handler, b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 3.0, leave)
    assert handler.started == [int(START * 1e9)]
    assert b"i of 1.2.3.4:5 1.2.3.4:5" in wire.sent
    assert b"announced 5 bytes" in wire.sent


def test_a_refusal_before_any_head_has_the_peers_name() -> None:
    wire = talk(Slow(), b"bad", peer=("::1", 7, 0, 0))
    assert b"of [::1]:7 [::1]:7" in wire.sent
    assert b"of :0 :0" in talk(Slow(), b"bad", peer=None).sent  # it has left already


def test_a_refused_body_is_read_and_dropped_and_the_connection_goes_on() -> None:
    handler = Slow()
    refused = POST.replace(b"/a", b"/no")
    chunked = b"POST /no HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    more = b"14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n"  # over the 10 bytes of what is let in
    wire = talk(handler, refused + b"abc", b"de", chunked + more, GET, 1.0)
    statuses = [part.split()[0] for part in wire.sent.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"400", b"400", b"200"]
    assert wire.events == []
    assert handler.bodies == [b""]


def test_a_body_that_is_too_large_is_refused_at_once_and_not_read() -> None:
    wire = talk(Slow(), POST.replace(b"/a", b"/large"), GET)
    assert status(wire) == 413
    assert wire.sent.count(b"HTTP/1.1") == 1
    assert ends(wire) == [(0.0, "eof")]


def test_a_chunked_body_has_the_admitted_limit_to_the_byte() -> None:
    head = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    handler = Slow()
    assert status(talk(handler, head + b"a\r\n0123456789\r\n0\r\n\r\n", 1.0)) == 200
    assert handler.bodies == [b"0123456789"]
    assert status(talk(Slow(), head + b"b\r\n", 1.0)) == 413


@pytest.mark.parametrize(("size", "parts"), [(65_535, 1), (65_536, 2)])
def test_a_large_body_is_sent_as_it_lies_and_a_small_one_with_its_head(
    size: int, parts: int
) -> None:
    wire = talk(Slow(answer=Response(200, (), b"x" * size)), GET, 1.0)
    assert wire.sent.endswith(b"\r\n\r\n" + b"x" * size)
    assert f"content-length: {size}\r\n".encode() in wire.sent
    assert wire.parts == parts


def test_requests_ahead_wait_within_their_limit() -> None:
    handler = Slow(1.0)
    full = b"".join([b"POST /a HTTP/1.1\r\nContent-Length: 65500\r\n\r\n", b"x" * 65_500])
    paused: list[bool] = []

    def look(line: Line) -> None:
        paused.append(bool(line.wire.events))

    before, last, rest = full[:65_535], full[65_535:65_536], full[65_536:]
    wire = talk(handler, GET, before, look, last, look, 5.0, rest, 3.0)
    assert paused == [False, True]
    assert [what for _, what in wire.events] == ["pause", "resume"]
    assert [len(body) for body in handler.bodies] == [0, 65_500]


def test_a_client_that_does_not_read_is_not_answered_further() -> None:
    handler = Slow()
    wire = talk(handler, GET, 1.0, choke, GET + GET, 5.0)
    assert wire.sent.count(b"HTTP/1.1") == 1
    wire = talk(handler, GET, 1.0, choke, GET + GET, 5.0, free, 5.0)
    assert wire.sent.count(b"HTTP/1.1") == 3


def choke(line: Line) -> None:
    line.connection.pause_writing()


def free(line: Line) -> None:
    line.connection.resume_writing()


def test_who_does_not_take_an_answer_is_dropped_after_the_handlers_time() -> None:
    wire = talk(Slow(), GET, 1.0, choke, 100.0)
    assert ends(wire) == [(21.25, "abort")]
    wire = talk(Slow(), GET, 1.0, choke, 15.0, free, 15.0, choke, 15.0, free, 500.0)
    assert ends(wire) == []  # each time it was taken in time


def test_a_last_answer_may_take_its_time_too() -> None:
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    wire = talk(Slow(), choke, last, 15.0, free, 10.0)  # choked by its head, say
    assert ends(wire) == [(15.0, "eof"), (16.25, "close")]
    wire = talk(Slow(1.0), last, 0.5, choke, 100.0)
    assert ends(wire) == [(1.0, "eof"), (20.75, "abort")]


def test_a_connection_that_cannot_be_closed_is_cut() -> None:
    async def go() -> Wire:
        line = Line(Slow(), Wire())
        line.send(b"bad\r\n\r\n")
        await line.watch(5.0)
        for _ in range(100):  # what is left in the buffer is not taken
            await asyncio.sleep(0.25)
            if 0 < line.connection.deadline < asyncio.get_running_loop().time():
                line.connection.expire()
                break
        return line.wire

    assert ends(virtual_time.run(go())) == [(0.0, "eof"), (1.25, "close"), (21.5, "abort")]


def stream(log: list[str], *, fail: bool = False) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        try:
            for part in (b"one", b"", b"three"):
                yield part
                log.append(part.decode())
            if fail:
                raise RuntimeError("broken")
        finally:
            log.append("closed")

    return Response(200, (("content-type", "text/plain"),), stream=parts())


def test_a_stream_is_sent_in_chunks_or_up_to_the_end_of_the_connection() -> None:
    wire = talk(Slow(answer=stream([])), GET, 1.0)
    assert wire.sent.endswith(b"\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")
    assert b"transfer-encoding: chunked" in wire.sent
    assert wire.events == []
    old = talk(Slow(answer=stream([])), GET.replace(b"1.1", b"1.0"), 1.0)
    assert old.sent.endswith(b"\r\n\r\nonethree")
    assert b"cache-control: no-store" in old.sent
    assert b"connection: close" in old.sent
    assert ends(old) == [(0.0, "eof")]
    head = talk(Slow(answer=stream([])), GET.replace(b"GET", b"HEAD"), 1.0)
    assert head.sent.endswith(b"\r\n\r\n")


def test_a_stream_waits_for_a_client_that_does_not_read() -> None:
    log: list[str] = []

    def choke(line: Line) -> None:
        line.connection.pause_writing()

    def free(line: Line) -> None:
        line.connection.resume_writing()

    handler = Slow(1.0, stream(log))
    talk(handler, GET, choke, 5.0)
    assert log == ["closed"]  # with the connection; the first part was written, no other
    log.clear()
    handler = Slow(1.0, stream(log))
    wire = talk(handler, GET, choke, 5.0, free, 5.0)
    assert log == ["one", "", "three", "closed"]
    assert wire.sent.endswith(b"0\r\n\r\n")


def test_a_stream_that_breaks_ends_the_connection_so_that_nobody_takes_it_for_whole() -> None:
    handler = Slow(answer=stream([], fail=True))
    wire = talk(handler, GET, 1.0)
    assert handler.bugs == ["broken"]
    assert not wire.sent.endswith(b"0\r\n\r\n")
    assert ends(wire) == [(0.0, "abort")]

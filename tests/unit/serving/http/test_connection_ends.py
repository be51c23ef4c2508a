"""What an answer says of the connection, when that ends, and when it has something to do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lrn_deploy.serving.http.message import Response
from tests.support.connections import GET, POST, Line, Slow, ends, leave, status, talk

OLD = GET.replace(b"1.1", b"1.0")
OLD_KEPT = OLD.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def heads(sent: bytes) -> list[bytes]:
    """What the answers say of their connection; empty if they say nothing."""
    return [
        b"".join(line[12:] for line in part.split(b"\r\n") if line.startswith(b"connection: "))
        for part in sent.split(b"HTTP/1.1 ")[1:]
    ]


@pytest.mark.parametrize(
    ("asked", "said"), [(GET, b""), (OLD_KEPT, b"keep-alive"), (OLD, b"close"), (LAST, b"close")]
)
def test_what_becomes_of_the_connection_is_said_where_it_is_not_usual(
    asked: bytes, said: bytes
) -> None:
    assert heads(talk(Slow(), asked, 1.0).sent) == [said]


def stream() -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"

    return Response(200, (), stream=parts())


@pytest.mark.parametrize("asked", [LAST, OLD_KEPT])
def test_a_stream_is_the_last_answer_where_the_client_says_so_or_knows_no_chunks(
    asked: bytes,
) -> None:
    wire = talk(Slow(answer=stream()), asked, 10.0)
    assert heads(wire.sent) == [b"close"]
    assert [what for _, what in ends(wire)] == ["eof", "close"]


def test_what_has_not_changed_is_answered_without_its_body() -> None:
    wire = talk(Slow(answer=Response(304, (("etag", "x"),), b"body")), GET, GET, 1.0)
    assert wire.sent.count(b"\r\n\r\nHTTP/1.1 304 ") == 1
    assert wire.sent.count(b"\r\ncontent-length: 4\r\n") == 2
    assert wire.sent.endswith(b"\r\n\r\n")


def test_who_leaves_while_its_refusal_lingers_is_not_waited_for() -> None:
    wire = talk(Slow(), b"bad\r\n\r\n", 0.5, leave)
    assert ends(wire) == [(0.0, "eof"), (0.5, "close")]


def test_who_leaves_within_a_request_leaves_nothing_open() -> None:
    for begun in (b"GET /a HTT", POST + b"abc"):
        wire = talk(Slow(), begun, 1.0, leave)
        assert status(wire) == 400
        assert [what for _, what in ends(wire)] == ["close", "close"]


def test_it_is_busy_from_the_body_to_the_answer() -> None:
    busy: list[bool] = []

    def look(line: Line) -> None:
        busy.append(line.connection.busy)

    talk(Slow(1.0), look, POST[:-1], look, POST[-1:], look, b"abcde", look, 2.0, look)
    assert busy == [False, False, True, True, False]

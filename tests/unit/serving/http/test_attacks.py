"""What a hostile client may claim: memory that it never fills, bodies without an end, two ends."""

from __future__ import annotations

import tracemalloc
from typing import Any, cast

import pytest

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError
from lrn_deploy.serving.http.body import ChunkedBody, DroppedBody, SizedBody
from lrn_deploy.serving.http.handler import Handler
from lrn_deploy.serving.http.head import MAX_HEAD_BYTES, parse_head, take_head
from lrn_deploy.serving.http.shared import Shared

POST = b"POST /v2/repository/index HTTP/1.%d\r\nHost: localhost\r\n%b\r\n"


def head(lines: bytes, minor: int = 1) -> bytes:
    return POST % (minor, lines)


def test_a_length_takes_memory_only_as_it_is_filled() -> None:
    tracemalloc.start()
    body = SizedBody(2**30)
    sent = 0
    while sent < 3 * 2**20:
        count = min(len(body.space()), 2**18)
        body.filled(count)
        sent += count
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 * 2**20  # not the gigabyte that was announced


def test_so_much_is_read_at_once_and_no_more() -> None:
    assert len(Shared(cast(Handler, None)).scratch) == 64 * 1024
    assert len(DroppedBody(2**40).space()) == 256 * 1024
    assert len(DroppedBody(5).space()) == 5  # the next request begins behind it


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ],
)
def test_both_lengths_are_never_a_body(lines: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_head(head(lines))


def test_a_proxy_that_speaks_http_1_0_does_not_know_chunks() -> None:
    assert parse_head(head(b"Transfer-Encoding: chunked\r\n")).chunked
    with pytest.raises(InvalidRequestError, match=r"not supported|malformed"):
        parse_head(head(b"Transfer-Encoding: chunked\r\n", minor=0))


def test_it_does_not_know_100_continue_either() -> None:
    lines = b"Expect: 100-continue\r\nContent-Length: 1\r\n"
    assert parse_head(head(lines)).expects
    assert not parse_head(head(lines, minor=0)).expects


def test_a_head_has_its_limit_to_the_byte() -> None:
    whole = head(b"X: %b\r\n" % (b"x" * (MAX_HEAD_BYTES - len(head(b"X: \r\n")))))
    assert len(whole) == MAX_HEAD_BYTES
    assert take_head(bytearray(whole)) == whole
    with pytest.raises(Exception, match=r"larger than 65,536"):
        take_head(bytearray(whole[:-1] + b"x"))


def test_a_chunk_of_any_size_that_is_claimed_is_counted_before_it_comes() -> None:
    with pytest.raises(TooLargeError):
        ChunkedBody(1000).feed(bytearray(b"f" * 15 + b"\r\n"))
    with pytest.raises(InvalidRequestError, match="not chunked"):  # no number of 64 bits
        ChunkedBody(1000).feed(bytearray(b"0" * 15 + b"1\r\nx\r\n"))


def test_chunks_of_exactly_the_limit_are_taken_and_one_byte_more_is_not() -> None:
    body = ChunkedBody(5)
    body.feed(bytearray(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    assert (body.done, body.content()) == (True, b"abcde")
    with pytest.raises(TooLargeError):
        ChunkedBody(5).feed(bytearray(b"3\r\nabc\r\n3\r\n"))


def test_chunks_have_no_place_that_could_be_filled() -> None:
    body = ChunkedBody(5)
    assert body.space() is None  # type: ignore[func-returns-value]  # which says so
    with pytest.raises(AssertionError):
        body.filled(1)


def test_a_refused_body_is_not_kept() -> None:
    body = ChunkedBody(5000, keep=False)
    body.feed(bytearray(b"fa0\r\n" + b"x" * 4000))
    assert body.content() == b""


def test_a_chunk_ends_where_its_size_says() -> None:
    with pytest.raises(InvalidRequestError, match="more bytes than its size"):
        ChunkedBody(100).feed(bytearray(b"1\r\nab\r\n0\r\n\r\n"))


def test_a_line_of_chunks_is_of_a_kibibyte_at_most() -> None:
    """Its end is of that too."""
    body = ChunkedBody(100)
    body.feed(bytearray(b"1;" + b"a" * 1020 + b"\r\nx\r\n0\r\n\r\n"))
    assert (body.done, body.content()) == (True, b"x")
    for more in (b"", b"\r\n"):
        with pytest.raises(InvalidRequestError, match="too long"):
            ChunkedBody(100).feed(bytearray(b"1;" + b"a" * 1021 + b"\r\n" + more))
    waiting = bytearray(b"1;" + b"a" * 1021)  # one more, and its end could not come any more
    ChunkedBody(100).feed(waiting)
    assert len(waiting) == 1023


def test_a_trailer_has_its_limit_to_the_byte() -> None:
    """Of 8 KiB, without the ends of its lines."""
    body = ChunkedBody(100)
    body.feed(bytearray(b"0\r\n" + b"X: y\r\n" * 2048))
    assert not body.done
    body.feed(bytearray(b"\r\n"))
    assert body.done
    with pytest.raises(InvalidRequestError, match="trailer"):
        ChunkedBody(100).feed(bytearray(b"0\r\n" + b"X: y\r\n" * 2048 + b"X\r\n"))


def test_a_head_begins_with_a_capital_behind_empty_lines() -> None:
    for text in (b"A / HTTP/1.1\r\n\r\n", b"Z / HTTP/1.1\r\n\r\n"):
        for before in (b"", b"\n", b"\r", b"\r\n\n"):
            received = bytearray(before + text + b"rest")
            assert take_head(received) == text
            assert received == b"rest"
    for wrong in (b"@", b"[", b"a", b"\x16\x03\x01"):
        with pytest.raises(InvalidRequestError, match="does not start with a method"):
            take_head(bytearray(wrong))


def test_a_target_has_its_path_and_its_parameters() -> None:
    for target, path, query in (
        (b"/a%20b?x=1&y=%2f", "/a b", {"x": "1", "y": "/"}),
        (b"/a?x=1#part", "/a", {"x": "1"}),
        (b"http://h/a?x=1", "/a", {"x": "1"}),
        (b"//h/a?x=1", "//h/a", {"x": "1"}),  # without a scheme there is no host
        (b"http://h", "/", {}),
        (b"*", "*", {}),
        (b"/?", "/", {}),
        (b"/a?b=c?d", "/a", {"b": "c?d"}),
        (b"/http://h/a:80", "/http://h/a:80", {}),
    ):
        found = parse_head(b"GET %b HTTP/1.1\r\n\r\n" % target)
        assert (found.path, found.query) == (path, query)
    with pytest.raises(InvalidRequestError):
        parse_head(b"CONNECT h:x HTTP/1.1\r\n\r\n")


def test_a_trailer_ends() -> None:
    body = ChunkedBody(100)
    body.feed(bytearray(b"0\r\n" + b"X: y\r\n" * 1500))
    assert not body.done
    with pytest.raises(InvalidRequestError, match="trailer"):
        body.feed(bytearray(b"X: y\r\n" * 1500))


@pytest.mark.parametrize("line", [b"1\n\r\n", b"1;a=\nb\r\n", b"1;a=\rb\r\n"])
def test_a_line_of_chunks_ends_in_one_way(line: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="ends in two ways"):
        ChunkedBody(100).feed(bytearray(line + b"x\r\n0\r\n\r\n"))


@pytest.mark.parametrize("length", [b"9" * 20, b"1" + b"0" * 19, b"0" * 30 + b"5"])
def test_a_length_has_fewer_digits_than_any_integer_type_could_lose(length: bytes) -> None:
    """A proxy that counts in 64 bits would see another end."""
    with pytest.raises(InvalidRequestError):
        parse_head(head(b"Content-Length: %b\r\n" % length))
    assert parse_head(head(b"Content-Length: %b\r\n" % length[-19:])).length == int(length[-19:])


SHORT_HEADS = [
    b"POST / HTTP/1.1\r\nContent-Length: 3\n\nabc\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\nabc\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\nGET /admin HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("text", SHORT_HEADS)
def test_a_head_does_not_end_at_bare_line_feeds(text: bytes) -> None:
    assert take_head(bytearray(text)) == text
    with pytest.raises(InvalidRequestError):
        parse_head(text)


class Lenient:
    """httptools with an llhttp that minds neither bare line feeds nor two lengths."""

    def __init__(self, seen: Any) -> None:
        self.seen = seen

    def feed_data(self, text: bytes) -> None:
        lines, _, rest = text.replace(b"\r\n", b"\n").partition(b"\n\n")
        self.seen.on_url(b"/")
        for line in lines.split(b"\n")[1:]:
            name, _, value = line.partition(b": ")
            self.seen.on_header(name, value)
        self.seen.on_headers_complete()
        if rest:
            self.seen.on_body(rest)

    def should_keep_alive(self) -> bool:
        return True

    def get_http_version(self) -> str:
        return "1.1"

    def get_method(self) -> bytes:
        return b"POST"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SHORT_HEADS[0], "malformed"),
        (SHORT_HEADS[2], "malformed"),
        (head(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "has both"),
        (head(b"Content-Length: 5\r\nContent-Length: 6\r\n"), "one whole number"),
        (head(b"Content-Length: +5\r\n"), "one whole number"),
        (head(b"Content-Length: \xb2\r\n"), "one whole number"),
        (head(b"Transfer-Encoding: gzip, chunked\r\n"), "not supported"),
    ],
)
def test_a_parser_that_minds_nothing_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, text: bytes, said: str
) -> None:
    """What llhttp refuses differs between its versions."""
    monkeypatch.setattr("lrn_deploy.serving.http.head.httptools.HttpRequestParser", Lenient)
    assert parse_head(head(b"Content-Length: 3\r\n")).length == 3
    with pytest.raises(InvalidRequestError, match=said):
        parse_head(text)

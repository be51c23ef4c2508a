"""The head of an HTTP/1 request: method, target, headers, and what they say about the body.

llhttp, through httptools, decides what is well-formed; it gets the whole head and nothing else, so
that no byte of the body passes through it. A body has one length or is chunked: whatever could be
read in two ways is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

import httptools

from lrn_deploy.serving.errors import (
    ExpectationError,
    HeadTooLargeError,
    InvalidRequestError,
)
from lrn_deploy.serving.remember import remembering

MAX_HEAD_BYTES = 64 * 2**10
_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Head:
    """What stands before the body.

    Attributes:
        method: In capitals.
        path: Decoded, without the query.
        query: The query's parameters.
        headers: Names in lower case; values of the same name are joined by commas.
        length: Bytes of the body; 0 without one. Without meaning if ``chunked``.
        chunked: Whether the body comes in chunks.
        expects: Whether the caller waits for ``100 Continue`` before it sends the body.
        keep_alive: Whether the connection serves for further requests.
        modern: Whether it is HTTP/1.1; the answer may be chunked then.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    length: int
    chunked: bool
    expects: bool
    keep_alive: bool
    modern: bool


def take_head(received: bytearray, searched: int = 0) -> bytes | None:
    """Cut the head off the front of what was received.

    Args:
        received: What came, from the first byte of a request; loses the head, and empty lines
            before it.
        searched: So many bytes of it are known not to hold the end.

    Returns:
        The head with the empty line that ends it; None if there is more to come.

    Raises:
        InvalidRequestError: If it does not start as a request.
        HeadTooLargeError: If it has more than ``MAX_HEAD_BYTES``.
    """
    if received and received[0] in b"\r\n":  # RFC 9112, 2.2
        del received[: len(received) - len(received.lstrip(b"\r\n"))]
    if not received:
        return None
    if not 65 <= received[0] <= 90:
        raise InvalidRequestError("This is no HTTP request: it does not start with a method.")
    end = received.find(_END, max(0, searched - len(_END) + 1), MAX_HEAD_BYTES)
    if end < 0:
        if len(received) >= MAX_HEAD_BYTES:
            raise HeadTooLargeError(
                f"The head of the request is larger than {MAX_HEAD_BYTES:,} bytes."
            )
        return None
    head = bytes(received[: end + len(_END)])
    del received[: len(head)]
    return head


def parse_head(head: bytes) -> Head:
    """Read a head.

    Raises:
        InvalidRequestError: If it is malformed, or if its body could be read in two ways.
        ExpectationError: If it expects what this server does not know.
    """
    seen = _Seen()
    parser = seen.parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # to another protocol; it may be declined, and is
    except httptools.HttpParserError as error:
        raise InvalidRequestError(f"The head of the request is malformed: {error}.") from error
    version = parser.get_http_version()
    if not seen.complete or seen.beyond or version not in ("1.0", "1.1"):
        raise InvalidRequestError("The head of the request is malformed; speak HTTP/1.1.")
    headers = seen.headers
    coding = headers.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or version == "1.0"):
        raise InvalidRequestError(f"Transfer-Encoding '{coding[:40]}' is not supported.")
    length = headers.get("content-length", "0")
    if coding is not None and "content-length" in headers:
        raise InvalidRequestError("The request has both Content-Length and Transfer-Encoding.")
    if not (length.isdecimal() and len(length) < 20):  # Latin-1 has no decimals but ASCII's
        raise InvalidRequestError(f"Content-Length must be one whole number, got '{length[:40]}'.")
    expect = headers.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise ExpectationError(f"'Expect: {expect[:40]}' is not supported; only 100-continue is.")
    path, query = _target(seen.url)
    return Head(
        parser.get_method().decode("ascii"),
        path,
        query,
        headers,
        int(length),
        coding is not None,
        expect is not None and version == "1.1",
        seen.keep_alive,
        version == "1.1",
    )


read_or_remember = remembering(parse_head)
"""For callers that send the same head each time."""


class _Seen:
    """What httptools calls while it reads."""

    parser: httptools.HttpRequestParser

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.complete = False
        self.keep_alive = False
        self.beyond = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        self.complete = True
        self.keep_alive = self.parser.should_keep_alive()  # the parser forgets it at the end

    def on_body(self, _body: bytes) -> None:
        self.beyond = True  # a head that ends before its empty line


def _target(url: bytes) -> tuple[str, Mapping[str, str]]:
    """The path and the parameters of a request's target."""
    try:
        parts = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError as error:
        raise InvalidRequestError("The request's target is no URL.") from error
    path, query = parts.path or b"/", parts.query or b""
    text = path.decode("latin-1") if b"%" not in path else unquote(path.decode("latin-1"))
    return text, dict(parse_qsl(query.decode("latin-1"))) if query else {}

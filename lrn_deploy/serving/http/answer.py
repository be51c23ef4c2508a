"""The bytes of an HTTP/1.1 answer around its body."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_FIRST_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}


def answer_head(status: int, date: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The status line, the headers, and the empty line.

    Args:
        status: One that HTTP has a name for, or any other.
        date: See :func:`date_header`.
        headers: Names and values; a line break in them would be a mistake of ours.
    """
    first = _FIRST_LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"{first}{date}{lines}\r\n".encode("latin-1", "replace")


def date_header() -> str:
    """The line that says when this is; it is true for a second."""
    return f"date: {formatdate(usegmt=True)}\r\n"


def chunk(part: bytes) -> bytes:
    """A part of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(part), part) if part else b""

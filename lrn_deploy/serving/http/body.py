"""The body of an HTTP/1 request as it comes: of a known length, in chunks, or dropped.

A body of known length is read from the socket into its own place; nothing copies it again. Memory
grows with what has come and not with what the caller claims.

Chunks are read here and not by llhttp, which reads heads: through httptools it tells neither how
large a chunk will be, so that one above the limit could not be refused before it comes, nor where
in what was received the body ends, and it bounds neither extensions nor trailers.
"""

from __future__ import annotations

import re
from typing import Protocol

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError

_FIRST_BYTES = 2**20
_SINK = memoryview(bytearray(2**18))
_MAX_LINE = 1024
_MAX_TRAILER = 8192
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
"""RFC 9112, 7.1: the size of a chunk, and extensions that mean nothing here."""


class Body(Protocol):
    """A body while it is read.

    Attributes:
        done: Whether all of it has come.
        announced: What the caller said that would come.
    """

    done: bool
    announced: str

    def space(self) -> memoryview | None:
        """Where the next bytes are to be read to; None if they must go through :meth:`feed`."""
        ...

    def filled(self, count: int) -> None:
        """So many bytes were read into :meth:`space`."""
        ...

    def feed(self, received: bytearray) -> None:
        """Take what belongs to the body off the front of what was received."""
        ...

    def content(self) -> bytearray:
        """All of it, once it is done."""
        ...


class SizedBody:
    """A body of known length.

    Args:
        length: In bytes.
    """

    def __init__(self, length: int) -> None:
        self.done = not length
        self.announced = f"{length} bytes"
        self._length = length
        self._content = bytearray(min(length, _FIRST_BYTES))
        self._view = memoryview(self._content)
        self._count = 0

    def space(self) -> memoryview:
        """The part that is still to be filled."""
        if self._count == len(self._content):
            self._view.release()
            self._content += bytes(min(self._length - self._count, self._count))
            self._view = memoryview(self._content)
        return self._view[self._count :]

    def filled(self, count: int) -> None:
        """So many bytes were read."""
        self._count += count
        self.done = self._count == self._length

    def feed(self, received: bytearray) -> None:
        """Take what came along with the head."""
        while received and not self.done:
            space = self.space()
            count = min(len(space), len(received))
            space[:count] = received[:count]
            space.release()
            del received[:count]
            self.filled(count)

    def content(self) -> bytearray:
        """The bytes."""
        return self._content


class ChunkedBody:
    """A body in chunks, RFC 9112, 7.1. Trailers are read and mean nothing.

    Args:
        limit: Bytes that it may have.
        keep: Whether anyone wants it.
    """

    def __init__(self, limit: int, *, keep: bool = True) -> None:
        self.done = False
        self.announced = "more"
        self._limit = limit
        self._keep = keep
        self._content = bytearray()
        self._count = 0
        self._left = 0
        self._between = False  # after a chunk's bytes, before the end of their line
        self._trailer: int | None = None

    def space(self) -> None:
        """Nowhere: there are sizes between the bytes."""

    def filled(self, count: int) -> None:
        """Never called."""
        raise AssertionError(count)

    def feed(self, received: bytearray) -> None:
        """Take as much as can be understood.

        Raises:
            InvalidRequestError: If these are no chunks.
            TooLargeError: If there are more bytes than the limit.
        """
        while not self.done:
            if self._left:
                if not received:
                    return
                part = received[: self._left]
                del received[: len(part)]
                self._left -= len(part)
                if self._keep:
                    self._content += part
            else:
                line = _line(received)
                if line is None:
                    return
                self._next(line)

    def _next(self, line: bytes) -> None:
        if self._between:
            if line:
                raise InvalidRequestError("A chunk of the body has more bytes than its size says.")
            self._between = False
        elif self._trailer is not None:
            self._trailer += len(line)
            if self._trailer > _MAX_TRAILER:
                raise InvalidRequestError("The trailer of the chunked body is too large.")
            self.done = not line
        else:
            found = _CHUNK.fullmatch(line)
            if found is None:
                raise InvalidRequestError("The body is not chunked as its header says.")
            self._left = int(found[1], 16)
            self._between = self._left > 0
            self._trailer = None if self._left else 0
            self._count += self._left
            if self._count > self._limit:
                raise TooLargeError(f"The body is larger than the limit of {self._limit:,} bytes.")

    def content(self) -> bytearray:
        """The bytes."""
        return self._content


class DroppedBody:
    """A body of known length that nobody wants.

    Args:
        length: In bytes.
    """

    def __init__(self, length: int) -> None:
        self.done = not length
        self.announced = f"{length} bytes"
        self._left = length

    def space(self) -> memoryview:
        """Where everything goes that nobody looks at."""
        return _SINK[: self._left]

    def filled(self, count: int) -> None:
        """So many bytes were read."""
        self._left -= count
        self.done = not self._left

    def feed(self, received: bytearray) -> None:
        """Forget what belongs to it."""
        count = min(self._left, len(received))
        del received[:count]
        self.filled(count)

    def content(self) -> bytearray:
        """Nothing."""
        return bytearray()


def _line(received: bytearray) -> bytes | None:
    """Cut off a line without its end; None if it has not come wholly."""
    end = received.find(b"\r\n", 0, _MAX_LINE)
    if end < 0:
        if len(received) >= _MAX_LINE:
            raise InvalidRequestError("The chunked body has a line that is too long.")
        return None
    line = bytes(received[:end])
    if b"\r" in line or b"\n" in line:
        raise InvalidRequestError("The chunked body has a line that ends in two ways.")
    del received[: end + 2]
    return line

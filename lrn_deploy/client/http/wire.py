"""HTTP/1.1 without a connection: requests as bytes, and answers read from bytes by httptools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lrn_deploy.client.errors import ProtocolError
from lrn_deploy.client.tensors import Bytes
from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install

try:
    import httptools
except ImportError as missing:
    raise MissingError(
        "The client needs httptools, which is not installed.",
        f"Install it with: {install('client')}",
    ) from missing

READ_BYTES = 256 * 1024
"""How much is read from a connection at once."""


@dataclass(frozen=True)
class HttpRequest:
    """A request.

    Attributes:
        method: ``GET`` or ``POST``.
        target: Path and query, encoded.
        headers: Beside those of every request.
        parts: The body, in parts that are sent one after the other as they lie.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    parts: tuple[Bytes, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size of the body."""
        return sum(len(part) for part in self.parts)

    def head(self, authority: str, headers: Mapping[str, str]) -> bytes:
        """All that stands before the body.

        Args:
            authority: Host and port.
            headers: Those of every request.
        """
        lines = [f"{self.method} {self.target} HTTP/1.1", f"host: {authority}"]
        if self.method != "GET":
            lines.append(f"content-length: {self.nbytes}")
        lines += [f"{name}: {value}" for name, value in (*headers.items(), *self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def whole(self, authority: str, headers: Mapping[str, str]) -> bytes:
        """Head and body in one piece, for what is sent again and again; see :meth:`head`."""
        return b"".join((self.head(authority, headers), *self.parts))


@dataclass(frozen=True)
class HttpAnswer:
    """An answer.

    Attributes:
        status: Its status.
        headers: Names in lower case.
        body: All of it.
        reusable: Whether the connection may carry another request.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    reusable: bool = True


class AnswerReader:
    """Reads the answers that come on one connection, one after the other."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._done: HttpAnswer | None = None
        self._begin()

    def feed(self, data: Bytes) -> HttpAnswer | None:
        """Take what has come; returns the answer if it is whole with that.

        Raises:
            ProtocolError: If it is no HTTP.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ProtocolError(f"The answer is no HTTP: {error}.") from error
        answer, self._done = self._done, None
        return answer

    def end(self) -> HttpAnswer | None:
        """The connection has ended; returns the answer if that is where it ends."""
        open_ended = "content-length" not in self._headers and (
            "transfer-encoding" not in self._headers
        )
        if not self._status or not open_ended:
            return None
        return HttpAnswer(self._status, self._headers, b"".join(self._body), reusable=False)

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of the head."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Part of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The answer is whole; those from 100 to 199 only say that another will come."""
        if self._status >= 200:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            keep = self._parser.should_keep_alive() and self._done is None
            self._done = HttpAnswer(self._status, self._headers, body, keep)
        self._begin()

    def _begin(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

"""Bytes to a server, and its answers back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

PATIENCE = 10.0
"""Seconds of silence after which a server counts as hung."""


class HungError(Exception):
    """Nothing came for so long."""


@dataclass(frozen=True)
class Answer:
    """An answer by HTTP.

    Attributes:
        status: Of its first line.
        headers: Names in lower case.
        body: As it came; None of a stream, whose end cannot be awaited.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None


def answers_in(data: bytes) -> tuple[list[Answer], bytes]:
    """The answers that are whole, without those that only say to go on, and what follows them."""
    answers: list[Answer] = []
    while True:
        end = data.find(b"\r\n\r\n")
        if not data.startswith(b"HTTP/1.1 ") or end < 0:
            return answers, data
        first, *lines = data[:end].decode("latin-1").split("\r\n")
        status = int(first[9:12])
        headers = {name.lower(): text for name, _, text in (one.partition(": ") for one in lines)}
        length = int(headers.get("content-length", "0"))
        if status >= 200 and "content-length" not in headers:
            return [*answers, Answer(status, headers, None)], b""
        rest = data[end + 4 :]
        if len(rest) < length:
            return answers, data
        if status >= 200:
            answers.append(Answer(status, headers, rest[:length]))
        data = rest[length:]


def alone(port: int, data: bytes) -> tuple[list[Answer], bytes]:
    """Send bytes on a connection of their own, and no more after them.

    Returns:
        The answers until the server has ended the connection, and what is none.

    Raises:
        HungError: If it does not end it.
    """
    came, cut = b"", False
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                came += part
        except TimeoutError as error:
            raise HungError from error
        except OSError:  # refused and closed while there was more to send
            cut = True
    answers, rest = answers_in(came)
    return answers, b"" if cut else rest


class Line:
    """A connection that is kept as long as the server keeps it.

    Args:
        port: Of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, data: bytes) -> tuple[list[Answer], bytes]:
        """Send a request and await its answer.

        Returns:
            The answer, none if the connection was ended before it was there, and what is none.

        Raises:
            HungError: If it does not come.
        """
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        came = b""
        answers: list[Answer] = []
        try:
            self._socket.sendall(data)
            while not answers:
                part = self._socket.recv(1 << 16)
                came += part
                answers, rest = answers_in(came)
                if not part:
                    self.close()
                    return answers, rest
        except TimeoutError as error:
            self.close()
            raise HungError from error
        except OSError:
            self.close()
            return answers_in(came)
        if answers[-1].headers.get("connection") == "close" or answers[-1].body is None:
            self.close()
        return answers, rest

    def close(self) -> None:
        """End it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

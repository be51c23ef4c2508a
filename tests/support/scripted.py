"""An HTTP server that answers what a test says, byte for byte, and keeps what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Act = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Asked:
    """A request that came.

    Attributes:
        connection: Number of the connection that it came on.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def announced(self) -> Any:
        """The JSON before binary tensors."""
        return json.loads(self.body[: int(self.headers["inference-header-content-length"])])


@dataclass
class Scripted:
    """What it is asked, and what is left to answer: bytes to send, or what to do instead."""

    port: int
    answers: list[bytes | Act]
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def answer(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> bytes:
    """An answer as bytes; a ``_`` in a header's name stands for ``-``."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def hang_up(connection: socket.socket) -> None:
    """End the connection without a word."""
    connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def scripted(
    *answers: bytes | Act, wrap: Callable[[socket.socket], socket.socket] | None = None
) -> Iterator[Scripted]:
    """Answer the first request with the first, and so on; the last one again and again.

    Args:
        answers: Bytes, or a function of the connection.
        wrap: Makes TLS of each connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(listener.getsockname()[1], list(answers))
        lock = threading.Lock()
        open_ones: list[socket.socket] = []

        def serve(connection: socket.socket, number: int) -> None:
            with suppress(OSError), connection:
                stream = wrap(connection) if wrap else connection
                data = bytearray()
                while True:
                    while b"\r\n\r\n" not in data:
                        if not (more := stream.recv(65536)):
                            return
                        data += more
                    head, _, data = data.partition(b"\r\n\r\n")
                    first, *lines = head.decode("latin-1").split("\r\n")
                    pairs = (line.partition(": ")[::2] for line in lines)
                    headers = {name.lower(): value for name, value in pairs}
                    length = int(headers.get("content-length", 0))
                    while len(data) < length:
                        data += stream.recv(65536)
                    body, data = bytes(data[:length]), data[length:]
                    method, target, _ = first.split(" ")
                    with lock:
                        server.asked.append(Asked(method, target, headers, body, number))
                        left = server.answers
                        act = left.pop(0) if len(left) > 1 else left[0]
                    if isinstance(act, bytes):
                        stream.sendall(act)
                    else:
                        act(stream)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    open_ones.append(connection)
                    number = len(open_ones)
                    threading.Thread(target=serve, args=(connection, number), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        for connection in open_ones:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

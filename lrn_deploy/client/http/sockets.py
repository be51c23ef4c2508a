"""HTTP over blocking sockets: a pool of connections that are kept, for any number of threads."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from lrn_deploy.client.address import Address, Credentials, unreachable
from lrn_deploy.client.errors import LostError
from lrn_deploy.client.http import language
from lrn_deploy.client.http.wire import READ_BYTES, AnswerReader, HttpAnswer, HttpRequest
from lrn_deploy.client.operations import Operation
from lrn_deploy.client.tensors import Bytes

CONNECT_SECONDS = 10.0
"""Longest time that opening a connection may take."""
_IDLE = 64  # connections that are kept
_BUFFERS = 64  # that one call of sendmsg takes; systems allow 1024 and less
_JOINED = 64 * 1024  # bytes that are copied together rather than sent as TLS records of their own


class Sockets:
    """Connections to one server. Thread-safe.

    Args:
        address: Where it is.
        credentials: How to be let in.
    """

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self.address = address
        self._headers = {"user-agent": "lrn-deploy"} | credentials.sent()
        self._tls = credentials.tls() if address.secure else None
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, operation: Operation[Any], seconds: float | None) -> Any:
        """Ask once; see :meth:`exchange` and :func:`language.decode` for what may go wrong."""
        request = language.encode(operation, seconds, self.address.prefix)
        return language.decode(operation, self.exchange(request, seconds))

    def exchange(self, request: HttpRequest, seconds: float | None) -> HttpAnswer:
        """Send a request and wait for its answer.

        Args:
            request: The request.
            seconds: How long to wait; None: any time.

        Raises:
            TimeoutError: If there is none by then.
            UnreachableError: If no connection can be opened.
            LostError: If the connection ends before the answer.
            ProtocolError: If what comes is no HTTP.
        """
        until = None if seconds is None else time.monotonic() + seconds
        connection = self._take() or _Connection(self.address, self._tls, until)
        head = request.head(self.address.authority, self._headers)
        try:
            answer = connection.exchange((head, *request.parts), until)
        except BaseException:  # what it would answer later must not answer another request
            connection.close()
            raise
        self._give(connection, answer)
        return answer

    def close(self) -> None:
        """Close the connections that nobody uses, and each other one when it is free."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> _Connection | None:
        """The connection that was used last, if the server has not closed it meanwhile."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.quiet():
                return connection
            connection.close()

    def _give(self, connection: _Connection, answer: HttpAnswer) -> None:
        with self._lock:
            if answer.reusable and not self._closed and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()


class _Connection:
    def __init__(self, address: Address, tls: ssl.SSLContext | None, until: float | None) -> None:
        left = _left(until)
        limit = CONNECT_SECONDS if left is None else min(CONNECT_SECONDS, left)
        try:
            self._socket = socket.create_connection((address.host, address.port), limit)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=address.host)
        except TimeoutError as error:
            if limit < CONNECT_SECONDS:
                raise
            raise unreachable(address, error) from error
        except (OSError, UnicodeError) as error:
            raise unreachable(address, error) from error
        self._secure = tls is not None
        self._reader = AnswerReader()
        self._address = address
        self._buffer = bytearray(READ_BYTES)

    def exchange(self, buffers: Sequence[Bytes], until: float | None) -> HttpAnswer:
        try:
            # It may have refused before it had read all; what it said is there to read.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._send(buffers, until)
            return self._receive(until)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._lost(str(error.strerror or error)) from error

    def close(self) -> None:
        self._socket.close()

    def quiet(self) -> bool:
        """Whether nothing has come, neither an end nor an answer that nobody asked for."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def _send(self, buffers: Sequence[Bytes], until: float | None) -> None:
        if self._secure:
            if sum(map(len, buffers)) <= _JOINED:
                buffers = (b"".join(buffers),)
            for buffer in buffers:
                self._socket.settimeout(_left(until))
                self._socket.sendall(buffer)
            return
        rest = deque(memoryview(buffer) for buffer in buffers if len(buffer))
        while rest:
            self._socket.settimeout(_left(until))
            sent = self._socket.sendmsg(list(islice(rest, _BUFFERS)))
            while rest and sent >= len(rest[0]):
                sent -= len(rest.popleft())
            if sent:
                rest[0] = rest[0][sent:]

    def _receive(self, until: float | None) -> HttpAnswer:
        view = memoryview(self._buffer)
        while True:
            self._socket.settimeout(_left(until))
            count = self._socket.recv_into(self._buffer)
            answer = self._reader.feed(view[:count]) if count else self._reader.end()
            if answer is not None:
                return answer
            if not count:
                raise self._lost("it was closed")

    def _lost(self, reason: str) -> LostError:
        return LostError(
            f"The connection to {self._address} ended before the answer: {reason}.",
            "Look at the server's log; it may have been stopped.",
        )


def _left(until: float | None) -> float | None:
    """Seconds until then.

    Raises:
        TimeoutError: If there are none.
    """
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

"""HTTP on an event loop: a pool of connections that are kept, for any number of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lrn_deploy.client.address import Address, Credentials, unreachable
from lrn_deploy.client.errors import LostError
from lrn_deploy.client.http import language
from lrn_deploy.client.http.sockets import CONNECT_SECONDS
from lrn_deploy.client.http.wire import READ_BYTES, AnswerReader, HttpAnswer, HttpRequest
from lrn_deploy.client.operations import Operation
from lrn_deploy.client.tensors import Bytes

_IDLE = 64  # connections that are kept


class Streams:
    """Connections to one server, for the tasks of one event loop.

    Args:
        address: Where it is.
        credentials: How to be let in.
    """

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self.address = address
        self._headers = {"user-agent": "lrn-deploy"} | credentials.sent()
        self._tls = credentials.tls() if address.secure else None
        self._idle: list[_Connection] = []
        self._closed = False

    async def ask(self, operation: Operation[Any], seconds: float | None) -> Any:
        """Ask once; see :meth:`exchange` and :func:`language.decode` for what may go wrong."""
        request = language.encode(operation, seconds, self.address.prefix)
        async with asyncio.timeout(seconds):
            answer = await self.exchange(request)
        return language.decode(operation, answer)

    async def exchange(self, request: HttpRequest) -> HttpAnswer:
        """Send a request and wait for its answer.

        Raises:
            UnreachableError: If no connection can be opened.
            LostError: If the connection ends before the answer.
            ProtocolError: If what comes is no HTTP.
        """
        connection = self._take() or await self._open()
        head = request.head(self.address.authority, self._headers)
        try:
            answer = await connection.exchange((head, *request.parts))
        except BaseException:  # what it would answer later must not answer another request
            connection.close()
            raise
        if answer.reusable and not self._closed and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def close(self) -> None:
        """Close the connections that nobody uses, and each other one when it is free."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _open(self) -> _Connection:
        address = self.address
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    address.host, address.port, ssl=self._tls, limit=READ_BYTES
                )
        except (OSError, UnicodeError) as error:  # TimeoutError is one
            raise unreachable(address, error) from error
        return _Connection(address, reader, writer)


class _Connection:
    def __init__(
        self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._address = address
        self._stream = reader
        self._writer = writer
        self._reader = AnswerReader()

    @property
    def usable(self) -> bool:
        """Whether the server has not closed it."""
        return not (self._stream.at_eof() or self._writer.is_closing())

    async def exchange(self, buffers: Sequence[Bytes]) -> HttpAnswer:
        try:
            # It may have refused before it had read all; what it said is there to read.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._writer.writelines(buffers)
                await self._writer.drain()
            while True:
                data = await self._stream.read(READ_BYTES)
                answer = self._reader.feed(data) if data else self._reader.end()
                if answer is not None:
                    return answer
                if not data:
                    raise self._lost("it was closed")
        except OSError as error:
            raise self._lost(str(error.strerror or error)) from error

    def close(self) -> None:
        self._writer.close()

    def _lost(self, reason: str) -> LostError:
        return LostError(
            f"The connection to {self._address} ended before the answer: {reason}.",
            "Look at the server's log; it may have been stopped.",
        )

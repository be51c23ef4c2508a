"""HTTP by granian, in this process and on this event loop.

granian (Rust) parses HTTP; what it leaves to the application stands here: limits on the size of a
body and on the time it takes, refusals before the body is read, and queued work dropped when its
client has gone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from granian._granian import RSGIProtocolClosed, RSGIProtocolError
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketSpec  # type: ignore[attr-defined] # granian's stub leaves it out
from granian.server.embed import Server

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving import listener
from lrn_deploy.serving.app import App
from lrn_deploy.serving.errors import (
    CanceledError,
    InvalidRequestError,
    RequestError,
    TimedOutError,
    TooLargeError,
)
from lrn_deploy.serving.message import Request, Response
from lrn_deploy.serving.trace import RESPONSE_HEADER

_HEADER_MILLISECONDS = 30_000
_PATIENCE = 0.05  # seconds after which a waiting request watches whether its client is still there

_TOO_LARGE_SECONDS = 1.0
_ACCEPT_SECONDS = 0.2  # for the connections that nobody has accepted yet


class _Scope(Protocol):
    """The part of granian's RSGI scope that is used here."""

    method: str
    path: str
    query_string: str
    client: str
    headers: Any


class _Server(Server):
    """granian's server with the listening socket in our hands.

    granian would let each worker listen for itself, and when told to stop, close connections that
    it has accepted but not yet read from. Here the socket can stop listening first.
    """

    _shd: Any
    _sfd: Any

    def _init_shared_socket(self) -> None:
        self._shd = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._sfd = self._shd.get_fd()

    @property
    def descriptor(self) -> int:
        """File descriptor of the listening socket."""
        return int(self._sfd)


class HttpFront:
    """Serves one :class:`App` on one port.

    Args:
        app: What answers.
        host: Address to bind to.
        port: Port; 0 takes a free one.

    Raises:
        BadInputError: If the port cannot be bound.
    """

    def __init__(self, app: App, host: str, port: int) -> None:
        self.app = app
        self.host = host
        self.port = check_port(host, port)
        self._server: Any = _Server(
            self._answer,
            address=host,
            port=self.port,
            interface=Interfaces.RSGI,
            websockets=False,
            backlog=1024,
            http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MILLISECONDS),
            log_enabled=False,
        )

    async def serve(self) -> None:
        """Accept connections until :meth:`stop`."""
        await self._server.serve()

    async def ready(self) -> None:
        """Wait until connections are accepted."""
        while True:
            try:
                _, writer = await asyncio.open_connection(self.host, self.port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return

    async def stop_listening(self) -> None:
        """Refuse new connections; those there are go on."""
        listener.deafen(self._server.descriptor)
        await asyncio.sleep(_ACCEPT_SECONDS)
        listener.shut(self._server.descriptor)

    def stop(self) -> None:
        """Close what is left."""
        self._server.stop()

    async def _answer(self, scope: _Scope, protocol: Any) -> None:
        request = self.app.request(
            scope.method,
            unquote(scope.path),
            scope.headers,
            dict(parse_qsl(scope.query_string)) if scope.query_string else {},
            scope.client,
        )
        try:
            response = await self._respond(request, protocol)
        except CanceledError:
            return
        headers = [*response.headers, ("x-request-id", request.id)]
        if request.trace is not None:
            headers.append((RESPONSE_HEADER, request.trace.header))
        if self.app.stopping:
            headers.append(("connection", "close"))
        if response.stream is not None and request.method != "HEAD":
            await _stream(protocol.response_stream(response.status, headers), response.stream)
        elif response.body and request.method != "HEAD":
            protocol.response_bytes(response.status, headers, response.body)
        else:
            protocol.response_empty(response.status, headers)

    async def _respond(self, request: Request, protocol: Any) -> Response:
        loop = asyncio.get_running_loop()
        started = int(loop.time() * 1e9)
        try:
            limit = self.app.admit(request)
        except RequestError as error:
            if request.headers.get("expect") is None:
                large = isinstance(error, TooLargeError)
                await self._discard(_chunks(protocol), _TOO_LARGE_SECONDS if large else None)
            return self.app.refusal(request, error, started)
        try:
            body = await self._body(request, protocol, limit)
        except RequestError as error:
            return self.app.refusal(request, error, started)
        if body:
            request = replace(request, body=body)
        task = asyncio.ensure_future(self.app.handle(request))
        await asyncio.wait((task,), timeout=_PATIENCE)
        if not task.done():
            gone = asyncio.ensure_future(protocol.client_disconnect())
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                raise CanceledError("The client went away.")
            gone.cancel()
        return task.result()

    async def _discard(self, chunks: AsyncIterator[bytes], seconds: float | None = None) -> None:
        """Read what the client is still sending, for so long at most, and forget it.

        A connection whose request is not read to its end is closed, and a client that is busy
        sending then finds a broken pipe and no answer. Only one that asks first (Expect) needs no
        such care.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds or self.app.settings.body_seconds):
                async for _ in chunks:
                    pass

    async def _body(self, request: Request, protocol: Any, limit: int) -> bytes:
        headers = request.headers
        length = headers.get("content-length")
        if length is None and headers.get("transfer-encoding") is None and request.method != "POST":
            return b""
        try:
            async with asyncio.timeout(self.app.settings.body_seconds):
                if length is not None:  # granian reads exactly so many
                    whole: bytes = await protocol()
                    return whole
                chunks = []
                stream = _chunks(protocol)
                async for chunk in stream:
                    chunks.append(chunk)
                    limit -= len(chunk)
                    if limit < 0:
                        chunks.clear()
                        await self._discard(stream, _TOO_LARGE_SECONDS)
                        raise TooLargeError(
                            "The body is larger than the limit of "
                            f"{self.app.settings.max_body_bytes:,} bytes."
                        )
                return b"".join(chunks)
        except TimeoutError as error:
            raise TimedOutError(
                f"The body did not come within {self.app.settings.body_seconds:g} s."
            ) from error
        except RSGIProtocolClosed as error:
            raise InvalidRequestError(
                f"The body ended early; the client announced {length or 'more'} bytes."
            ) from error


async def _stream(transport: Any, parts: AsyncIterator[bytes]) -> None:
    """Send parts as they come, until they end or the client has gone."""
    async with aclosing(parts):  # type: ignore[type-var] # every stream here is a generator
        async for part in parts:
            try:
                await transport.send_bytes(part)
            except (RSGIProtocolClosed, RSGIProtocolError):
                return


async def _chunks(protocol: Any) -> AsyncIterator[bytes]:
    """The body as it comes. granian's own iterator can be taken once only, this one resumed."""
    async for chunk in protocol:
        yield chunk


def check_port(host: str, port: int) -> int:
    """Make sure that a port is free, or find a free one.

    granian binds with SO_REUSEPORT, so two servers would silently share a port; a socket without
    it finds out.

    Args:
        host: Address or name.
        port: The port; 0 for any.

    Raises:
        BadInputError: If it cannot be bound.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInputError(
            f"Cannot listen on {host}:{port}: {reason}.",
            "Stop what listens there, or choose another address or port.",
        ) from error

"""HTTP/1.1 on an event loop: listens, and watches over the connections.

Parsing is httptools' (llhttp) and sockets are the loop's; what a connection does is in
:mod:`.http_connection`.
"""

from __future__ import annotations

import asyncio

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.http import listener
from lrn_deploy.serving.http.answer import date_header
from lrn_deploy.serving.http.connection import Connection
from lrn_deploy.serving.rest.app import App

_BACKLOG = 1024
_WATCH_SECONDS = 0.25
_ACCEPT_SECONDS = 0.2  # for the connections that nobody has accepted yet
_SCRATCH_BYTES = 64 * 2**10


class HttpFront:
    """Serves one :class:`App` on one port.

    Args:
        app: What answers.
        host: Address to bind to.
        port: Port; 0 takes a free one.

    Attributes:
        connections: Those that are open.
        date: The header of that name.
        scratch: Where connections read what has no place of its own; used at once.

    Raises:
        BadInputError: If the port cannot be bound.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, app: App, host: str, port: int) -> None:
        self.app = app
        self.host = host
        self._socket = listener.bind(host, port)
        self.port = int(self._socket.getsockname()[1])
        self.connections: set[Connection] = set()
        self.date = date_header()
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))

    async def start(self) -> None:
        """Accept connections from now on.

        Raises:
            BadInputError: If another process listens there since the port was bound.
        """
        self.loop = asyncio.get_running_loop()
        try:
            self._server = await self.loop.create_server(
                lambda: Connection(self), sock=self._socket, backlog=_BACKLOG
            )
        except OSError as error:
            raise BadInputError(
                f"Cannot listen on {self.host}:{self.port}: {error.strerror}.",
                "Stop what listens there, or choose another address or port.",
            ) from error
        self._watching = asyncio.ensure_future(self._watch())

    async def stop_listening(self) -> None:
        """Refuse new connections; those there are go on."""
        listener.deafen(self._socket)
        await asyncio.sleep(_ACCEPT_SECONDS)
        self._server.close()

    def stop(self) -> None:
        """Close what is left."""
        self._watching.cancel()
        for connection in tuple(self.connections):
            connection.close()

    async def _watch(self) -> None:
        """Close connections that keep the server waiting; tell the time."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.date = date_header()
            now = self.loop.time()
            late = [one for one in self.connections if 0 < one.deadline < now]
            for connection in late:
                connection.expire()

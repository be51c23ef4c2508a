"""HTTP/1.1 on an event loop: listens, and watches over the connections.

Parsing is httptools' (llhttp) and sockets are the loop's; what a connection does is in
:mod:`.connection`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving import listener
from lrn_deploy.serving.http.accept import Acceptor, Say
from lrn_deploy.serving.http.answer import date_header
from lrn_deploy.serving.http.crowd import Crowd
from lrn_deploy.serving.http.handler import Handler
from lrn_deploy.serving.http.shared import Shared

_BACKLOG = 1024
_WATCH_SECONDS = 0.25
_ACCEPT_SECONDS = 0.2  # for the connections that nobody has accepted yet


class HttpServer:
    """Serves one :class:`Handler` on one port.

    Args:
        handler: What answers.
        host: Address to bind to.
        port: Port; 0 takes a free one.
        crowd: How many connections there may be; None: as many as there are descriptors.
        context: Gives what a new connection is encrypted with; None: nothing is.
        say: Told when no connection can be accepted.

    Attributes:
        shared: What its connections share.

    Raises:
        BadInputError: If the port cannot be bound.
    """

    def __init__(
        self,
        handler: Handler,
        host: str,
        port: int,
        *,
        crowd: Crowd | None = None,
        context: Callable[[], ssl.SSLContext] | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self.host = host
        self._socket = listener.bind(host, port)
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self.shared = Shared(handler, crowd)
        self._acceptor = Acceptor(self._socket, self.shared, context, say)

    async def start(self) -> None:
        """Accept connections from now on.

        Raises:
            BadInputError: If another process listens there since the port was bound.
        """
        self.shared.loop = asyncio.get_running_loop()
        try:
            self._socket.listen(_BACKLOG)
        except OSError as error:
            raise BadInputError(
                f"Cannot listen on {self.host}:{self.port}: {error.strerror}.",
                "Stop what listens there, or choose another address or port.",
            ) from error
        self._acceptor.start()
        self._watching = asyncio.ensure_future(self._watch())

    async def stop_listening(self) -> None:
        """Refuse new connections; those there are go on."""
        listener.deafen(self._socket)
        await asyncio.sleep(_ACCEPT_SECONDS)
        self._acceptor.stop()
        self._socket.close()

    @property
    def busy(self) -> bool:
        """Whether some request has come, or begun to come, that is not answered yet."""
        return any(connection.busy for connection in self.shared.connections)

    def stop(self) -> None:
        """Close what is left."""
        self._watching.cancel()
        for connection in tuple(self.shared.connections):
            connection.close()

    async def _watch(self) -> None:
        """Close connections that keep the server waiting; tell the time."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.shared.date = date_header()
            now = self.shared.loop.time()
            late = [
                connection
                for connection in self.shared.connections
                if 0 < connection.deadline < now
            ]
            for connection in late:
                connection.expire()

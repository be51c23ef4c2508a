"""Connections as they come: counted, encrypted if that is wished, refused if there are too many.

The loop's own ``create_server`` has one context for as long as it listens, counts nobody, and where
descriptors have run out it tries again as often as the backlog is long (Python 3.11).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from lrn_deploy.serving.errors import InvalidRequestError, UnavailableError
from lrn_deploy.serving.http.answer import answer_head
from lrn_deploy.serving.http.connection import Connection
from lrn_deploy.serving.http.shared import Shared
from lrn_deploy.serving.request import Request, request_id

HANDSHAKE_SECONDS = 10.0
_SHUTDOWN_SECONDS = 2.0  # that a peer may take to say that it has heard the last
_AT_ONCE = 256  # so that who has connected is not kept waiting by who connects
_PAUSE_SECONDS = 0.25
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
Say = Callable[[str], None]


class Acceptor:
    """Makes a :class:`Connection` of each that comes in on a listening socket.

    Args:
        listening: The socket, which does not block.
        shared: What the connections share.
        context: Gives what a new connection is encrypted with; None: nothing is.
        say: Told when descriptors run out, and when there are some again.
    """

    def __init__(
        self,
        listening: socket.socket,
        shared: Shared,
        context: Callable[[], ssl.SSLContext] | None,
        say: Say,
    ) -> None:
        self._socket = listening
        self._shared = shared
        self._context = context
        self._say = say
        self._beginning: set[asyncio.Task[None]] = set()
        self._short = False
        self._trying: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._shared.loop.add_reader(self._socket.fileno(), self._accept)

    def stop(self) -> None:
        """Accept no more; handshakes go on."""
        if self._trying is not None:
            self._trying.cancel()
        self._shared.loop.remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        """Take those that wait."""
        for _ in range(_AT_ONCE):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._recover()
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._pause(error)
                return
            accepted.setblocking(False)
            refusal = self._shared.crowd.enter(address[0])
            if refusal:
                self._refuse(accepted, address, refusal)
                continue
            task = self._shared.loop.create_task(self._begin(accepted, address[0]))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _pause(self, error: OSError) -> None:
        """Try again a little later: those that wait wait in the kernel."""
        if not self._short:
            self._short = True
            self._say(
                f"Warning: no connection can be accepted: {os.strerror(error.errno or 0)}; those "
                "that come wait until others are closed."
            )
        self._shared.loop.remove_reader(self._socket.fileno())
        self._trying = self._shared.loop.call_later(_PAUSE_SECONDS, self.start)

    def _recover(self) -> None:
        """Nobody waits any more; said then, and not each time that one descriptor becomes free."""
        if self._short:
            self._short = False
            self._say("Connections are accepted again.")

    async def _begin(self, accepted: socket.socket, host: str) -> None:
        shared = self._shared
        connection = Connection(shared, host)
        context = self._context() if self._context else None
        started = time.monotonic_ns()
        try:
            await shared.loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS if context else None,
            )
        except BaseException as error:
            accepted.close()
            shared.crowd.leave(host)
            if not isinstance(error, OSError):
                raise
            if isinstance(error, ssl.SSLError):
                failed = InvalidRequestError(f"The TLS handshake failed: {_reason(error)}.")
                shared.handler.refusal(self._nothing(host), failed, started)

    def _refuse(self, accepted: socket.socket, address: tuple[str, int], reason: str) -> None:
        """Close a connection; the reason is an answer that can be read without a handshake."""
        request = self._nothing(address[0])
        response = self._shared.handler.refusal(
            request, UnavailableError(reason), time.monotonic_ns()
        )
        extent = ("content-length", str(len(response.body)))
        more = (extent, ("x-request-id", request.id), ("connection", "close"))
        head = answer_head(response.status, self._shared.date, (*response.headers, *more))
        with accepted, suppress(OSError):
            if self._context is None:
                accepted.send(head + response.body)
                accepted.shutdown(socket.SHUT_WR)

    def _nothing(self, host: str) -> Request:
        """What is known of a request before there is one."""
        return Request("", "", id=request_id(None), peer=host, caller=host)


def _reason(error: ssl.SSLError) -> str:
    """Why a handshake failed, for whoever reads the log: the peer hears nothing of it."""
    words = {
        "HTTP_REQUEST": "the peer speaks HTTP without TLS",
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer has no certificate",
        "UNSUPPORTED_PROTOCOL": "the peer's TLS is older than 1.2",
    }
    told = getattr(error, "verify_message", "") or error.reason or str(error)
    return words.get(told, told)

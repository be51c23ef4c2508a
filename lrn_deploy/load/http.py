"""Sends HTTP requests that are ready as bytes, over sockets that never block."""

from __future__ import annotations

import select
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus

from lrn_deploy.client.address import Address, Credentials, unreachable
from lrn_deploy.client.errors import ProtocolError
from lrn_deploy.client.http.sockets import CONNECT_SECONDS
from lrn_deploy.client.http.wire import READ_BYTES, AnswerReader, HttpAnswer
from lrn_deploy.load.drive import ANSWERED, LOST, NO_CONNECTION, Ended

Check = Callable[[int, HttpAnswer], str]
"""Of a request's index and its answer: the outcome."""
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
WRONG = "wrong answer"


class HttpSender:
    """Connections to one server, each with one request under way at most.

    Args:
        address: Where it is.
        credentials: Whom to trust; what is sent stands in the requests.
        requests: What is asked, head and body, in turn: the ticket says which.
        most: Connections at most.
        check: Looks at the answers.

    Raises:
        UnreachableError: If nobody answers there.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        requests: Sequence[bytes],
        most: int,
        check: Check = lambda _which, answer: outcome_of(answer),
    ) -> None:
        self.most = most
        self._requests = [memoryview(request) for request in requests]
        self._address = address
        self._tls = credentials.tls() if address.secure else None
        first = _connected(address)
        self._family, self._peer = first.family, first.getpeername()
        self._check = check
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Connection] = []
        self._busy: dict[int, _Connection] = {}
        self._ended: list[Ended] = []
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        if self._tls is None:
            self._idle.append(self._watched(first, ready=True))
        else:
            first.close()

    def send(self, ticket: int) -> None:
        """Send the request of this ticket on the connection that was used last, or a new one."""
        try:
            connection = self._idle.pop() if self._idle else self._open()
        except OSError:
            self._ended.append((ticket, time.perf_counter(), NO_CONNECTION))
            return
        connection.ticket = ticket
        connection.rest = self._requests[ticket % len(self._requests)]
        self._busy[ticket] = connection
        if connection.open:
            self._write(connection)

    def wait(self, seconds: float) -> Iterable[Ended]:
        """What has ended; waits so long if nothing has, to some 0.1 ms."""
        events = self._selector.select(0)
        if not (events or self._ended) and seconds > 0:
            self._pause(seconds)
            events = self._selector.select(0)
        for key, ready in events:
            connection: _Connection = key.data
            if not connection.open:
                self._connect(connection)
            elif ready & _READ or connection.answer_first:
                self._read(connection)
            if ready & _WRITE and connection.open and connection.rest is not None:
                self._write(connection)
        ended, self._ended = self._ended, []
        return ended

    def abandon(self, ticket: int) -> None:
        """Nobody waits for this one any more: its connection is closed."""
        connection = self._busy.get(ticket)
        if connection is not None:
            self._drop(connection)

    def close(self) -> None:
        """Close all connections."""
        for connection in [*self._idle, *self._busy.values()]:
            self._drop(connection)
        self._selector.close()

    def _pause(self, seconds: float) -> None:
        """Wait until something happens; the selector alone would round up to whole milliseconds."""
        try:
            descriptor = self._selector.fileno()
        except AttributeError:
            self._selector.select(seconds)
            return
        select.select((descriptor,), (), (), seconds)

    def _open(self) -> _Connection:
        stream = socket.socket(self._family, socket.SOCK_STREAM)
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.connect_ex(self._peer)  # what goes wrong is told when it is written to
        return self._watched(stream)

    def _watched(self, stream: socket.socket, *, ready: bool = False) -> _Connection:
        connection = _Connection(stream)
        connection.open = ready
        connection.watched = _READ if ready else _READ | _WRITE
        self._selector.register(stream, connection.watched, connection)
        return connection

    def _connect(self, connection: _Connection) -> None:
        """Go on opening it: by now TCP's handshake is over, and TLS's may need some turns."""
        try:
            error = connection.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "no connection")
            if self._tls is not None:
                self._secured(connection, self._tls).do_handshake()
        except ssl.SSLWantReadError:
            self._watch(connection, _READ)
        except ssl.SSLWantWriteError:
            self._watch(connection, _READ | _WRITE)
        except OSError:
            self._fail(connection, NO_CONNECTION)
        else:
            connection.open = True
            self._write(connection)

    def _secured(self, connection: _Connection, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """A connection's socket with TLS around it, which it cannot get before TCP has made it."""
        plain = connection.stream
        if isinstance(plain, ssl.SSLSocket):
            return plain
        stream = tls.wrap_socket(
            plain, server_hostname=self._address.host, do_handshake_on_connect=False
        )
        self._selector.unregister(plain)
        self._selector.register(stream, connection.watched, connection)
        connection.stream = stream
        return stream

    def _write(self, connection: _Connection) -> None:
        rest = connection.rest
        try:
            while rest is not None:
                sent = connection.stream.send(rest)
                rest = rest[sent:] if sent < len(rest) else None
        except _BLOCKED:
            pass
        except OSError:
            rest = None  # it may have refused before it had read all; what it said is to be read
            connection.answer_first = True
        connection.rest = rest
        self._watch(connection, _READ if rest is None else _READ | _WRITE)

    def _read(self, connection: _Connection) -> None:
        try:
            while True:
                count = connection.stream.recv_into(self._buffer)
                if not count:
                    answer = connection.reader.end()
                    break
                answer = connection.reader.feed(self._view[:count])
                if answer is not None or self._tls is None:
                    break  # what else there is will be told; only TLS keeps some to itself
        except _BLOCKED:
            return
        except (OSError, ProtocolError):
            self._fail(connection, LOST)
            return
        if answer is not None:
            self._answered(connection, answer)
        elif not count:
            self._fail(connection, LOST)

    def _answered(self, connection: _Connection, answer: HttpAnswer) -> None:
        moment, ticket = time.perf_counter(), connection.ticket
        if ticket is None:  # an answer that nobody asked for
            self._drop(connection)
            return
        outcome = self._check(ticket % len(self._requests), answer)
        self._ended.append((ticket, moment, outcome))
        if answer.reusable and connection.rest is None and not connection.answer_first:
            del self._busy[ticket]
            connection.ticket = None
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _fail(self, connection: _Connection, outcome: str) -> None:
        if connection.ticket is not None:
            self._ended.append((connection.ticket, time.perf_counter(), outcome))
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        if connection.ticket is None:
            self._idle.remove(connection)
        else:
            del self._busy[connection.ticket]
        self._selector.unregister(connection.stream)
        connection.open, connection.rest = False, None
        connection.stream.close()

    def _watch(self, connection: _Connection, events: int) -> None:
        if connection.watched != events:
            connection.watched = events
            self._selector.modify(connection.stream, events, connection)


class _Connection:
    """A connection.

    Attributes:
        open: Whether all handshakes are over.
        ticket: Of the request under way; None if none is.
        rest: What of it has not been sent; None if all has.
        answer_first: Whether writing has failed: an answer may be there all the same.
        watched: What the selector watches it for.
    """

    __slots__ = ("answer_first", "open", "reader", "rest", "stream", "ticket", "watched")

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.reader = AnswerReader()
        self.open = False
        self.ticket: int | None = None
        self.rest: memoryview | None = None
        self.answer_first = False
        self.watched = _READ | _WRITE


def _connected(address: Address) -> socket.socket:
    """A connection, which also says what the host's name stands for."""
    try:
        stream = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
    except (OSError, UnicodeError) as error:
        raise unreachable(address, error) from error
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setblocking(False)
    return stream


def outcome_of(answer: HttpAnswer) -> str:
    """The outcome that an answer's status says."""
    if answer.status == 200:
        return ANSWERED
    try:
        return f"{answer.status} {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return str(answer.status)

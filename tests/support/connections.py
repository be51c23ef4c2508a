"""A connection of HTTP without a socket, on a clock that costs no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from lrn_deploy.serving.errors import InvalidRequestError, RequestError, TooLargeError
from lrn_deploy.serving.http.connection import Connection
from lrn_deploy.serving.http.message import Response, error_response
from lrn_deploy.serving.http.shared import Shared
from lrn_deploy.serving.request import Request
from tests.support import virtual_time

GET = b"GET /a HTTP/1.1\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
START = 1000.0


class Slow:
    """Answers after a while; refuses what is asked at ``/no``."""

    body_limit = 1000
    body_seconds = 7.0
    answer_seconds = 20.0
    stopping = False

    def __init__(self, seconds: float = 0.0, answer: Response | None = None) -> None:
        self.seconds = seconds
        self.answer = answer
        self.bodies: list[bytes] = []
        self.started: list[int] = []
        self.bugs: list[str] = []

    def begin(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        peer: str,
    ) -> Request:
        return Request(method, path, headers, query, id="i", peer=peer, caller=peer)

    def admit(self, request: Request) -> int:
        if request.path == "/no":
            raise InvalidRequestError("No.")
        if request.path == "/large":
            raise TooLargeError("Too large.")
        return 10

    async def handle(self, request: Request) -> Response:
        await asyncio.sleep(self.seconds)
        self.bodies.append(bytes(request.body))
        return self.answer or Response(200, (), b"answer")

    def refusal(self, request: Request, error: RequestError, started: int) -> Response:
        self.started.append(started)
        return error_response(error, f"{request.id} of {request.peer} {request.caller}")

    def answer_headers(self, _request: Request) -> tuple[tuple[str, str], ...]:
        return ()

    def bug(self, _request: Request, error: Exception, _started: int) -> None:
        self.bugs.append(str(error))


class Wire(asyncio.Transport):
    """The server's end, which notes when what happened."""

    def __init__(self, peer: tuple[Any, ...] | None = ("1.2.3.4", 5)) -> None:
        super().__init__({"peername": peer})
        self.sent = b""
        self.parts = 0
        self.events: list[tuple[float, str]] = []

    def note(self, what: str) -> None:
        self.events.append((asyncio.get_running_loop().time() - START, what))

    def write(self, data: Any) -> None:
        self.sent += bytes(data)
        self.parts += 1

    def writelines(self, parts: Any) -> None:
        self.sent += b"".join(map(bytes, parts))
        self.parts += len(parts)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.note("eof")

    def is_closing(self) -> bool:
        return any(what in ("close", "abort") for _, what in self.events)

    def close(self) -> None:
        self.note("close")

    def abort(self) -> None:
        self.note("abort")

    def pause_reading(self) -> None:
        self.note("pause")

    def resume_reading(self) -> None:
        self.note("resume")


class Line:
    """A connection and its wire; :meth:`watch` does what the front does four times a second."""

    def __init__(self, handler: Slow, wire: Wire) -> None:
        self.handler, self.wire = handler, wire
        self.shared = Shared(handler)
        self.shared.loop = asyncio.get_running_loop()
        self.connection = Connection(self.shared)
        self.connection.connection_made(wire)

    def send(self, data: bytes) -> None:
        while data:
            space = self.connection.get_buffer(-1)
            count = min(len(space), len(data))
            space[:count] = data[:count]
            del space
            self.connection.buffer_updated(count)
            data = data[count:]

    async def watch(self, seconds: float) -> None:
        """Until it ends by itself, for at most so long."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + seconds
        while loop.time() < limit and not self.wire.is_closing():
            await asyncio.sleep(0.25)
            if 0 < self.connection.deadline < loop.time():
                self.connection.expire()


def talk(
    handler: Slow,
    *steps: bytes | float | Callable[[Line], object],
    peer: tuple[Any, ...] | None = ("1.2.3.4", 5),
) -> Wire:
    """Send bytes, wait for seconds, or do something, in turn."""

    async def go() -> Wire:
        line = Line(handler, Wire(peer))
        for step in steps:
            if isinstance(step, bytes):
                line.send(step)
            elif callable(step):
                step(line)
            else:
                await line.watch(step)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        line.connection.connection_lost(None)
        return line.wire

    return virtual_time.run(go())


def leave(line: Line) -> None:
    if not line.connection.eof_received():
        line.wire.close()


def ends(wire: Wire) -> list[tuple[float, str]]:
    return [(round(at, 2), what) for at, what in wire.events]


def status(wire: Wire) -> int:
    return int(wire.sent.split()[1])

"""One HTTP/1 connection: requests come, one after the other, and each gets its answer.

The connection is always in one of three states: it reads a head, or the body that the head
announced, or it answers. Meanwhile a caller may send its next request, which waits in
``_received``. A request is admitted or refused when its head is there; what is refused is not kept.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Any, cast

from lrn_deploy.serving.errors import (
    InvalidRequestError,
    RequestError,
    TimedOutError,
    TooLargeError,
)
from lrn_deploy.serving.http.answer import CONTINUE, LAST_CHUNK, answer_head, chunk
from lrn_deploy.serving.http.body import Body, ChunkedBody, DroppedBody, SizedBody
from lrn_deploy.serving.http.head import Head, read_or_remember, take_head
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.http.shared import Shared
from lrn_deploy.serving.request import Request, request_id
from lrn_deploy.serving.trace import RESPONSE_HEADER

HEAD_SECONDS = 30.0
_PATIENCE = 0.05  # seconds in which a caller that sends no more may still get its answer
_LINGER_SECONDS = 1.0  # in which a caller that is still sending may find its refusal
_AHEAD_BYTES = 64 * 2**10  # of further requests that may wait here
_JOIN_BYTES = 64 * 2**10  # below it a copy is cheaper than a further part to send


class Connection(asyncio.BufferedProtocol):
    """What a caller and this server say to each other.

    Args:
        shared: What all connections of its port share.
        counted: The address that it was counted for; None if it was not.
    """

    def __init__(self, shared: Shared, counted: str | None = None) -> None:
        self.deadline = 0.0
        """When whatever it waits for must be there, on the loop's clock; 0: any time."""
        self._shared = shared
        self._counted = counted
        self._handler = shared.handler
        self._loop = shared.loop
        self._peer = ""
        self._received = bytearray()
        self._searched = 0
        self._head: Head | None = None
        self._request: Request | None = None
        self._body: Body | None = None
        self._held: Response | None = None
        self._started = 0
        self._task: asyncio.Task[None] | None = None
        self._ended = False  # the caller sends no more
        self._closing = False
        self._choked: asyncio.Event | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        self._transport = cast(asyncio.Transport, transport)
        host, port = (transport.get_extra_info("peername") or ("", 0))[:2]  # it may have left
        self._peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.deadline = self._loop.time() + HEAD_SECONDS
        self._shared.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is over; queued work of its request is dropped."""
        self._shared.connections.discard(self)
        if self._counted is not None:
            self._shared.crowd.leave(self._counted)
        self._closing = True
        if self._choked is not None:
            self._choked.set()
        if self._task is not None:
            self._task.cancel()

    def get_buffer(self, _hint: int) -> memoryview:
        """Where the next bytes go: into the body itself if it is one of known length."""
        if self._body is not None and (space := self._body.space()) is not None:
            return space
        return self._shared.scratch

    def buffer_updated(self, count: int) -> None:
        """So many bytes have come."""
        body = self._body
        if body is not None and body.space() is not None:
            body.filled(count)
            if body.done:
                self._answer_body(body)
            return
        if self._closing:
            return
        self._received += self._shared.scratch[:count]
        self._advance()

    def eof_received(self) -> bool:
        """The caller sends no more: it has gone, or it waits for the answer to what it sent."""
        self._ended = True
        if self._closing:
            return False
        if self._task is not None:
            self._loop.call_later(_PATIENCE, self._give_up)
            return self._transport.can_write_eof()  # over TLS, who says no more hears no more
        if self._body is not None:
            announced = self._body.announced
            self._refuse(
                InvalidRequestError(f"The body ended early; the client announced {announced}.")
            )
        elif self._received:
            self._refuse(InvalidRequestError("The head of the request ended early."))
        return False

    def pause_writing(self) -> None:
        """The caller does not read what it is sent."""
        self._choked = asyncio.Event()
        self.deadline = self._loop.time() + self._handler.answer_seconds

    def resume_writing(self) -> None:
        """It does again."""
        if self._choked is not None:
            self._choked.set()
        self._choked = None
        self.deadline = self._loop.time() + _LINGER_SECONDS if self._closing else 0.0
        self._advance()

    @property
    def busy(self) -> bool:
        """Whether it has a request whose answer is not written yet."""
        return self._body is not None or self._task is not None

    def expire(self) -> None:
        """The deadline has passed."""
        if self._choked is not None or self._transport.is_closing():
            self._transport.abort()
        elif self._closing:
            self._transport.close()
            self.deadline = self._loop.time() + self._handler.answer_seconds
        elif self._body is not None:
            self._refuse(
                TimedOutError(f"The body did not come within {self._handler.body_seconds:g} s.")
            )
        elif self._received:
            self._refuse(TimedOutError(f"The head did not come within {HEAD_SECONDS:g} s."))
        else:
            self.close()

    def close(self) -> None:
        """End it, once what is written has been sent."""
        self._closing = True
        self._transport.close()

    def _advance(self) -> None:
        """Go on with what has been received, as far as that is possible now."""
        try:
            while not self._closing and self._task is None:
                if self._body is not None:
                    self._body.feed(self._received)
                    if not self._body.done:
                        return
                    self._answer_body(self._body)
                elif self._choked is not None or not self._next_head():
                    break
        except RequestError as error:
            self._refuse(error)
        self._pace()

    def _next_head(self) -> bool:
        """Begin with the next request; False if its head is not there."""
        text = take_head(self._received, self._searched)
        if text is None:
            self._searched = len(self._received)
            if self._received and not self.deadline:
                self.deadline = self._loop.time() + HEAD_SECONDS
            if self._ended:
                self.close()
            return False
        self._searched = 0
        self.deadline = 0.0
        self._head = None  # of the request before
        self._head = head = read_or_remember(text)
        self._started = int(self._loop.time() * 1e9)
        handler = self._handler
        self._request = request = handler.begin(
            head.method, head.path, head.headers, head.query, self._peer
        )
        try:
            limit = handler.admit(request)
        except RequestError as error:
            if head.expects or isinstance(error, TooLargeError):
                raise
            self._held = handler.refusal(request, error, self._started)
            limit = handler.body_limit
        if not head.chunked and not head.length:
            self._answer(request)
            return True
        self.deadline = self._loop.time() + handler.body_seconds
        if head.expects:
            self._transport.write(CONTINUE)
        if head.chunked:
            self._body = ChunkedBody(limit, keep=self._held is None)
        else:
            self._body = DroppedBody(head.length) if self._held else SizedBody(head.length)
        return True

    def _answer_body(self, body: Body) -> None:
        """The body is there."""
        assert self._request is not None
        self._body = None
        self.deadline = 0.0
        self._request.body = body.content()
        self._answer(self._request)

    def _answer(self, request: Request) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._send(request, held, keep=self._keeps())
        else:
            self._task = self._loop.create_task(self._handle(request))

    def _give_up(self) -> None:
        """Stop waiting for an answer: the caller has gone, or waits no longer for it."""
        if self._task is not None:
            self._task.cancel()
            self.close()

    def _pace(self) -> None:
        """Read no more while there is more to do than should wait here."""
        full = len(self._received) >= _AHEAD_BYTES
        if full != self._paused and not self._transport.is_closing():
            self._paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    async def _handle(self, request: Request) -> None:
        response = await self._handler.handle(request)
        try:
            if response.stream is not None:
                await self._stream(request, response, cast(Any, response.stream))
            else:
                self._send(request, response, keep=self._keeps())
        except Exception as error:  # a bug of ours must not leave the caller waiting
            self._handler.bug(request, error, self._started)
            self._transport.abort()
        self._task = None
        self._advance()

    def _send(self, request: Request, response: Response, *, keep: bool) -> None:
        """Write an answer."""
        if self._closing:
            return
        body = response.body
        head = self._answer_head(request, response, ("content-length", str(len(body))), keep)
        if request.method == "HEAD" or response.status == 304:
            self._transport.write(head)
        elif len(body) < _JOIN_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines([head, body])
        self._request = None
        if not keep:
            self._linger()

    async def _stream(self, request: Request, response: Response, parts: Any) -> None:
        """Send an answer's parts as they come, until they end or the caller has gone."""
        chunked = self._head is not None and self._head.modern
        keep = chunked and self._keeps()
        coding = ("transfer-encoding", "chunked") if chunked else ("cache-control", "no-store")
        self._transport.write(self._answer_head(request, response, coding, keep))
        if request.method != "HEAD":
            async with aclosing(parts):
                async for part in parts:
                    self._transport.write(chunk(part) if chunked else part)
                    if self._choked is not None:
                        await self._choked.wait()
            if chunked:
                self._transport.write(LAST_CHUNK)
        self._request = None
        if not keep:
            self._linger()

    def _answer_head(
        self, request: Request, response: Response, extent: tuple[str, str], keep: bool
    ) -> bytes:
        headers = [*response.headers, extent, ("x-request-id", request.id)]
        if request.trace is not None:
            headers.append((RESPONSE_HEADER, request.trace.header))
        headers += self._handler.answer_headers(request)
        if not keep:
            headers.append(("connection", "close"))
        elif self._head is not None and not self._head.modern:
            headers.append(("connection", "keep-alive"))
        return answer_head(response.status, self._shared.date, headers)

    def _keeps(self) -> bool:
        return self._head is not None and self._head.keep_alive and not self._handler.stopping

    def _refuse(self, error: RequestError) -> None:
        """Answer what cannot be read to its end, and hear no more."""
        self._body = self._held = None
        started = self._started if self._request else int(self._loop.time() * 1e9)
        request = self._request or Request(
            "", "", id=request_id(None), peer=self._peer, caller=self._peer
        )
        self._send(request, self._handler.refusal(request, error, started), keep=False)

    def _linger(self) -> None:
        """Close, but let a caller that is still sending find its answer first.

        Closed at once, with bytes of it unread, the connection would be reset, and the answer lost.
        """
        self._closing = True
        self._received.clear()
        if self._choked is None:
            self.deadline = self._loop.time() + _LINGER_SECONDS
        if self._ended:
            self._transport.close()
            return
        with suppress(OSError, RuntimeError):
            self._transport.write_eof()

"""The server that listens: who is watched over, how often, and what closing means."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.errors import MethodError, UnavailableError
from lrn_deploy.serving.http.answer import answer_head, chunk, date_header
from lrn_deploy.serving.http.handler import Handler
from lrn_deploy.serving.http.message import Response, error_response, json_response
from lrn_deploy.serving.http.server import HttpServer
from tests.support import virtual_time


class Watched:
    def __init__(self, deadline: float, ends: list[float]) -> None:
        self.deadline = deadline
        self.ends = ends
        self.closed = 0

    def expire(self) -> None:
        self.ends.append(asyncio.get_running_loop().time())
        self.deadline = 0.0

    def close(self) -> None:
        self.closed += 1


async def started() -> HttpServer:
    server = HttpServer(cast(Handler, None), "127.0.0.1", 0)
    await server.start()
    return server


def test_deadlines_are_looked_at_four_times_a_second() -> None:
    ends: list[float] = []

    async def watch() -> tuple[list[float], float]:
        server = await started()
        loop = asyncio.get_running_loop()
        start = loop.time()
        watched = [Watched(start + 0.25, ends), Watched(start + 1.1, ends), Watched(0.0, ends)]
        server.shared.connections.update(watched)
        await asyncio.sleep(3)
        server.stop()
        assert [one.closed for one in watched] == [1, 1, 1]
        await server.stop_listening()
        return ends, start

    found, start = virtual_time.run(watch())
    assert [round(end - start, 2) for end in found] == [0.5, 1.25]  # late, not just due


def test_the_date_is_told_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dates() -> tuple[str, str]:
        server = await started()
        before = server.shared.date
        monkeypatch.setattr("lrn_deploy.serving.http.server.date_header", lambda: "date: later\r\n")
        await asyncio.sleep(0.3)
        after = server.shared.date
        server.stop()
        await server.stop_listening()
        return before, after

    before, after = virtual_time.run(dates())
    assert before.startswith("date: ")
    assert before.endswith(" GMT\r\n")
    assert after == "date: later\r\n"


def test_who_has_connected_is_accepted_before_the_door_closes() -> None:
    async def close() -> float:
        server = await started()
        loop = asyncio.get_running_loop()
        start = loop.time()
        await server.stop_listening()
        server.stop()
        return loop.time() - start

    assert virtual_time.run(close()) == pytest.approx(0.2)


def test_it_is_busy_while_some_connection_is() -> None:
    async def look() -> list[bool]:
        server = await started()
        seen = [server.busy]
        for busy in (False, True):
            one: Any = Watched(0.0, [])
            one.busy = busy
            server.shared.connections.add(one)
            seen.append(server.busy)
        server.stop()
        await server.stop_listening()
        return seen

    assert virtual_time.run(look()) == [False, False, True]


def test_a_port_belongs_to_one() -> None:
    async def twice() -> None:
        first = await started()
        try:
            with pytest.raises(BadInputError, match=f"127.0.0.1:{first.port}"):
                HttpServer(cast(Handler, None), "127.0.0.1", first.port)
        finally:
            first.stop()
            await first.stop_listening()

    asyncio.run(twice())


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, "HTTP/1.1 200 OK"), (431, "HTTP/1.1 431 Request Header Fields Too Large"),
     (299, "HTTP/1.1 299 ")],
)  # fmt: skip
def test_heads_of_answers(status: int, line: str) -> None:
    head = answer_head(status, "date: x\r\n", [("a", "é"), ("b", "\u20ac")])
    assert head == f"{line}\r\ndate: x\r\na: é\r\nb: ?\r\n\r\n".encode("latin-1")
    assert date_header().count("\r\n") == 1


def test_chunks() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert chunk(b"") == b""  # which would end the body


def test_messages() -> None:
    assert Response() == Response(200, (), b"", None)
    assert json_response([1], 201) == Response(201, (("content-type", "application/json"),), b"[1]")
    refusal = error_response(UnavailableError("Full.", retry_after=3), "id")
    assert refusal.status == 503
    assert refusal.headers[1:] == (("retry-after", "3"),)
    assert refusal.body == b'{"error": "Full.", "request_id": "id"}'
    methods: Any = error_response(MethodError("No.", ("GET", "HEAD")))
    assert methods.headers[1:] == (("allow", "GET, HEAD"),)
    assert methods.body == b'{"error": "No."}'

"""The stream of statistics: once a second, to so many and no more, until the server drains."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from lrn_deploy.serving.errors import InvalidRequestError, UnavailableError
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.image_routes import whole_number
from lrn_deploy.serving.rest.routes import Route
from lrn_deploy.serving.rest.stats_routes import StatsRoutes
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support import virtual_time

REQUEST = Request("GET", "/v1/stats")


def routes() -> StatsRoutes:
    return StatsRoutes(Service(Repository(ModelSettings()), ServerSettings(access_log="none")))


async def stream(one: StatsRoutes) -> AsyncIterator[bytes]:
    (route,) = one.routes
    match = route.match("/v1/stats")
    assert match is not None
    response = await route.handler(REQUEST, match)
    assert response.status == 200
    assert dict(response.headers) == {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
    }
    assert response.stream is not None
    return response.stream


def test_an_event_comes_each_second_and_a_last_one_when_the_server_drains() -> None:
    async def watch() -> list[tuple[float, bytes]]:
        one = routes()
        loop = asyncio.get_running_loop()
        loop.call_later(2.5, one.service.drained.set)
        start = loop.time()
        return [(loop.time() - start, event) async for event in await stream(one)]

    (first, comment), *events = virtual_time.run(watch())
    assert first == 0
    assert comment.startswith(b":")
    assert [at for at, _ in events] == pytest.approx([1.0, 2.0, 2.5])
    for _, event in events:
        content = json.loads(event.removeprefix(b"data: "))
        assert (content["ready"], content["rate_limited"], content["models"]) == (False, 0, [])
        assert event.endswith(b"\n\n")


def test_thirty_two_may_watch_and_whoever_leaves_makes_room() -> None:
    async def crowd() -> int:
        one = routes()
        watching = [await stream(one) for _ in range(32)]
        for each in watching:
            await anext(each)
        assert one.streams == 32
        with pytest.raises(UnavailableError, match="32 streams are open"):
            await stream(one)
        await watching[0].aclose()  # type: ignore[attr-defined]
        await anext(await stream(one))
        return one.streams

    assert virtual_time.run(crowd()) == 32


def test_how_many_classes_may_be_asked_for() -> None:
    assert [whole_number(text, "top") for text in ("1", "10000")] == [1, 10_000]
    for text in ("0", "10001", "-1", "1.0", "\u00b2", ""):
        with pytest.raises(InvalidRequestError, match="'top' must be from 1 to 10000"):
            whole_number(text, "top")


def test_which_routes_are_guarded_and_work() -> None:
    async def answer(_request: Request, _match: object) -> None:
        raise AssertionError

    get, post = (Route(method, "/a/{part}[/c]", answer, "server") for method in ("GET", "POST"))  # type: ignore[arg-type]  # routes that are never asked
    assert (get.guarded, get.works, get.methods) == (False, False, ("GET", "HEAD"))
    assert (post.guarded, post.works, post.methods) == (True, False, ("POST",))
    assert [get.takes(method) for method in ("GET", "HEAD", "POST")] == [True, True, False]
    assert get.match("/a/b/") is None
    assert get.match("/a/b/c") is not None
    found = get.match("/a/c")
    assert found is not None
    assert found.groupdict() == {"part": "c"}
    assert get.match("/a/b/d") is None
    open_post = Route("POST", "/", answer, "server", guarded=False)  # type: ignore[arg-type]  # routes that are never asked
    assert not open_post.guarded

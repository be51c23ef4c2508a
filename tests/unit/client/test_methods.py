"""What each method of both clients asks for; what is asked is recorded instead of sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lrn_deploy.client import AsyncClient, Client, LostError, NotFoundError
from lrn_deploy.client.operations import (
    AboutModel,
    AboutServer,
    Classify,
    Config,
    Control,
    Index,
    Infer,
    Live,
    Ready,
    Stats,
)

Asked = list[tuple[Any, float | None]]
Ask = Callable[..., Any]
FILES = [b"one", b"two"]
NAMED = (("image-0", b"one"), ("image-1", b"two"))


@pytest.fixture
def asked() -> Asked:
    return []


@pytest.fixture(params=[Client, AsyncClient])
def ask(request: pytest.FixtureRequest, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Calls a method of a client whose server answers so, or fails."""
    kind = request.param

    def called(method: str, *arguments: Any, answer: Any = None, **options: Any) -> Any:
        def answered(_: Any, operation: Any, timeout: float | None = None) -> Any:
            asked.append((operation, timeout))
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def later(client: Any, operation: Any, timeout: float | None = None) -> Any:
            return answered(client, operation, timeout)

        monkeypatch.setattr(kind, "ask", answered if kind is Client else later)
        found = getattr(kind("http://127.0.0.1:1"), method)(*arguments, **options)
        return found if kind is Client else asyncio.run(found)

    return called


def test_an_inference_has_all_that_is_said(ask: Ask, asked: Asked) -> None:
    tensors = {"a": np.zeros((1, 3), np.float32)}
    said = {"version": "3", "classes": 2, "priority": 1, "id": "seven", "binary": False}
    more = {"outputs": ["y"], "parameters": {"own": True}, "timeout": 2.5}
    assert ask("infer", "m", tensors, answer={}, **said, **more) == {}
    ((one, seconds),) = asked
    assert (one.model, list(one.inputs), one.version, one.outputs) == ("m", ["a"], "3", ("y",))
    assert (one.classes, one.parameters, one.priority) == (2, {"own": True}, 1)
    assert (one.id, one.binary, seconds) == ("seven", False, 2.5)


def test_an_inference_has_nothing_that_nobody_said(ask: Ask, asked: Asked) -> None:
    ask("infer", "m", {"a": np.zeros((1, 3), np.float32)})
    ((one, seconds),) = asked
    assert one == Infer("m", one.inputs, "", (), 0, {}, 0, "", binary=True)
    assert seconds is None


@pytest.mark.parametrize(
    ("method", "arguments", "operation"),
    [
        ("server_metadata", (), AboutServer()),
        ("model_metadata", ("m",), AboutModel("m", "")),
        ("model_metadata", ("m", "2"), AboutModel("m", "2")),
        ("config", ("m",), Config("m", "")),
        ("config", ("m", "2"), Config("m", "2")),
        ("models", (), Index()),
        ("stats", (), Stats("", "")),
        ("stats", ("m", "2"), Stats("m", "2")),
        ("live", (), Live()),
        ("ready", (), Ready("", "")),
        ("ready", ("m", "2"), Ready("m", "2")),
        ("load", ("m",), Control("m", load=True)),
        ("unload", ("m",), Control("m", load=False)),
        ("classify_all", ("m", FILES), Classify("m", NAMED, 5)),
    ],
)
def test_each_asks_for_its_operation(
    ask: Ask, asked: Asked, method: str, arguments: tuple[Any, ...], operation: Any
) -> None:
    answer = object()
    found = ask(method, *arguments, answer=answer)
    assert found is (None if method in ("load", "unload") else answer)
    assert asked == [(operation, None)]


@pytest.mark.parametrize("method", ["load", "unload"])
def test_loading_may_take_its_own_time(ask: Ask, asked: Asked, method: str) -> None:
    ask(method, "m", timeout=300.0)
    assert asked[0][1] == 300


def test_one_image_is_the_first_of_its_answer(ask: Ask, asked: Asked) -> None:
    assert ask("classify", "m", b"one", answer=("cat", "dog")) == "cat"
    assert ask("classify", "m", b"one", answer=("cat",), top=2, timeout=1.5) == "cat"
    assert asked == [(Classify("m", NAMED[:1], 5), None), (Classify("m", NAMED[:1], 2), 1.5)]


def test_a_client_lets_go_of_its_connections_at_the_end_of_its_block() -> None:
    async def run() -> Any:
        async with AsyncClient("http://127.0.0.1:1") as client:
            assert not client._transport._closed  # type: ignore[attr-defined]  # of connections
        return client

    with Client("http://127.0.0.1:1") as client:
        assert not client._transport._closed  # type: ignore[attr-defined]  # as above
    for one in (client, asyncio.run(run())):
        assert one._transport._closed


@pytest.mark.parametrize("method", ["live", "ready"])
def test_whoever_does_not_answer_is_not_there(ask: Ask, method: str) -> None:
    assert ask(method, answer=LostError("Gone.")) is False


def test_a_model_that_is_not_there_is_not_only_not_ready(ask: Ask) -> None:
    with pytest.raises(NotFoundError):
        ask("ready", "m", answer=NotFoundError("There is no model 'm'.", status=404))

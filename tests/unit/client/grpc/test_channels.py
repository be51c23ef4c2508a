"""What a channel sends beside each message; calls are recorded instead of made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from lrn_deploy.client import NotFoundError
from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.grpc import channels
from lrn_deploy.client.operations import Live

AT = Address("grpc", "127.0.0.1", 1)
KEY = Credentials("k", headers={"x-team": "a"})
Sent = list[dict[str, Any]]


def by_a_thread(sent: Sent) -> bool:
    def call(_message: Any, **told: Any) -> Any:
        sent.append(told)
        return pb.ServerLiveResponse(live=True)

    channel = channels.Channel(AT, KEY)
    channel._channel = SimpleNamespace(unary_unary=lambda *_, **__: call)
    return channel.ask(Live(), 2.5)


def by_a_task(sent: Sent) -> bool:
    async def call(_message: Any, **told: Any) -> Any:
        sent.append(told)
        return pb.ServerLiveResponse(live=True)

    async def run() -> Any:
        channel = channels.AsyncChannel(AT, KEY)
        channel._channel = SimpleNamespace(unary_unary=lambda *_, **__: call)
        return await channel.ask(Live(), 2.5)

    return asyncio.run(run())


@pytest.mark.parametrize("ask", [by_a_thread, by_a_task])
def test_the_key_the_headers_and_the_time_go_with_each_call(ask: Callable[[Sent], bool]) -> None:
    sent: Sent = []
    assert ask(sent) is True
    (told,) = sent
    assert dict(told["metadata"]) == {"authorization": "Bearer k", "x-team": "a"}
    assert told["timeout"] == 2.5


@pytest.mark.parametrize("kind", [channels.Channel, channels.AsyncChannel])
def test_messages_have_no_limit_and_a_server_that_comes_back_is_found_soon(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, dict[str, int]]] = []

    def channel(target: str, options: Any) -> None:
        made.append((target, dict(options)))

    monkeypatch.setattr(grpc, "insecure_channel", channel)
    monkeypatch.setattr(grpc.aio, "insecure_channel", channel)
    assert kind(AT, KEY).address is AT
    ((target, options),) = made
    assert target == "127.0.0.1:1"
    assert options == {
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        "grpc.use_local_subchannel_pool": 1,
        "grpc.enable_retries": 0,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1000,
    }


def test_tls_is_made_of_the_authority_the_key_and_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(grpc, "ssl_channel_credentials", lambda *parts: parts)
    files = Credentials.of("", tmp_path / "ca", tmp_path / "cert", tmp_path / "key")
    assert channels.credentials_of(files) == (b"ca", b"key", b"cert")
    made: list[Any] = []
    monkeypatch.setattr(grpc, "secure_channel", lambda *parts: made.append(parts))
    monkeypatch.setattr(grpc.aio, "secure_channel", lambda *parts: made.append(parts))
    secure = Address("grpc", "host", 9, secure=True)
    for kind in (channels.Channel, channels.AsyncChannel):
        kind(secure, files)
    assert made == [("host:9", (b"ca", b"key", b"cert"), channels.OPTIONS)] * 2


def test_a_channel_is_closed() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("awaited")

    async def run() -> None:
        awaited = channels.AsyncChannel(AT, KEY)
        awaited._channel = SimpleNamespace(close=close)
        await awaited.close()

    waiting = channels.Channel(AT, KEY)
    waiting._channel = SimpleNamespace(close=lambda: closed.append("waiting"))
    waiting.close()
    asyncio.run(run())
    assert closed == ["waiting", "awaited"]


def test_the_time_that_was_up_is_told_from_other_failures() -> None:
    def failed(code: grpc.StatusCode) -> Exception:
        error = SimpleNamespace(
            code=lambda: code, details=lambda: "So.", trailing_metadata=lambda: None
        )
        return channels._failed(error, AT)

    assert isinstance(failed(grpc.StatusCode.DEADLINE_EXCEEDED), TimeoutError)
    assert isinstance(failed(grpc.StatusCode.NOT_FOUND), NotFoundError)

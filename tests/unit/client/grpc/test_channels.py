"""What a channel sends beside each message; calls are recorded instead of made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tritonclient.grpc import service_pb2 as pb

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

"""A server within the test's own process, on free ports, without a model unless it is given one."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from lrn_deploy.serving.grpc.server import GrpcServer
from lrn_deploy.serving.http.crowd import Crowd
from lrn_deploy.serving.http.server import HttpServer
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.security.guards import Guards
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings


@dataclass
class Inside:
    """A server that is ready.

    Attributes:
        service: What does it all.
        guards: Its keys and its certificate.
        http: Listens for HTTP.
        grpc: Listens for gRPC.
        loop: Where HTTP runs.
        said: What it has told people.
    """

    service: Service
    guards: Guards
    http: HttpServer
    grpc: GrpcServer
    loop: asyncio.AbstractEventLoop
    said: list[str] = field(default_factory=list)

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A connection of one's own, encrypted if there is a context."""
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.http.port, timeout=5)
        return http.client.HTTPSConnection("127.0.0.1", self.http.port, timeout=5, context=context)

    def channel(self, credentials: Any = None) -> grpc.Channel:
        """A channel of one's own, encrypted if there are credentials."""
        address = f"127.0.0.1:{self.grpc.port}"
        if credentials is None:
            return grpc.insecure_channel(address)
        return grpc.secure_channel(address, credentials)


@contextmanager
def inside(
    repository: Repository | None = None, guards: Guards | None = None, **settings: Any
) -> Iterator[Inside]:
    """Start a server, and end it when the block ends.

    Args:
        repository: Its models.
        guards: Its keys and certificate, if they are not the settings'.
        settings: What differs from the defaults.
    """
    said: list[str] = []
    chosen = ServerSettings(**{"access_log": "none"} | settings)
    guards = guards or Guards(chosen, said.append)
    service = Service(repository or Repository(ModelSettings()), chosen, keys=guards.keys)
    crowd = Crowd(chosen.max_connections, chosen.max_connections_per_peer)
    http = HttpServer(
        App(service), "127.0.0.1", 0, crowd=crowd, context=guards.context, say=said.append
    )
    rpc = GrpcServer(service, "127.0.0.1", 0, guards.tls)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(http.start(), loop).result(5)
    rpc.start()
    try:
        yield Inside(service, guards, http, rpc, loop, said)
    finally:
        rpc.stop(0)

        async def end() -> None:
            http.stop()
            await http.stop_listening()

        asyncio.run_coroutine_threadsafe(end(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()

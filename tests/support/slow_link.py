"""A link between a client and a server: as slow as is said, silent or cut where that is said."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_STEP = 2**14
_REQUEST = re.compile(r"(?:GET|PUT|POST|HEAD|DELETE) \S+ HTTP")


@dataclass
class Link:
    """What the link does, which may be changed while it is up, and what has gone over it.

    Attributes:
        rate: Bytes a second towards the client, over all connections; 0 for as many as there are.
        silent_after: Bytes towards the client after which nothing comes any more; -1 for never.
        cut_after: Bytes towards the client after which connections are closed; -1 for never.
        port: Where it listens.
        carried: Bytes that went towards the client.
        asked: The first lines of requests.
    """

    rate: float = 0.0
    silent_after: int = -1
    cut_after: int = -1
    port: int = 0
    carried: int = 0
    asked: list[str] = field(default_factory=list)

    def paths(self) -> list[str]:
        """What was asked for with GET, without the query."""
        return [line.split()[1].split("?")[0] for line in self.asked if line.startswith("GET ")]


@contextmanager
def slow_link(to: int, link: Link | None = None) -> Iterator[Link]:
    """A link to a port of this machine, for as long as the block lasts."""
    link = link or Link()
    loop = asyncio.new_event_loop()
    one_at_a_time = asyncio.Lock()
    ready, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(
            lambda r, w: _joined(link, to, one_at_a_time, r, w), "127.0.0.1", 0
        )
        link.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield link
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def _joined(
    link: Link,
    to: int,
    one_at_a_time: asyncio.Lock,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", to)

    async def upwards() -> None:
        while data := await reader.read(_STEP):
            link.asked += _REQUEST.findall(data.decode("latin1"))
            back.write(data)
            await back.drain()

    async def downwards() -> None:
        while data := await there.read(_STEP):
            if 0 <= link.silent_after <= link.carried:
                await asyncio.sleep(3600)
            if 0 <= link.cut_after <= link.carried:
                writer.transport.abort()
                return
            link.carried += len(data)
            if link.rate:
                async with one_at_a_time:
                    await asyncio.sleep(len(data) / link.rate)
            writer.write(data)
            await writer.drain()

    ways = [asyncio.ensure_future(upwards()), asyncio.ensure_future(downwards())]
    with suppress(OSError, asyncio.CancelledError):
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    for end in (writer, back):
        with suppress(OSError):
            end.close()

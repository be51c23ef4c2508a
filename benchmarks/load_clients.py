"""What a request costs its client: ours beside httpx, aiohttp and the standard library.

Each sends an AlexNet row as bytes, 154,587 of uint8 or 618,348 of float32, over a connection that
is kept, to a server in a process of its own that answers at once with 4,000 bytes, as many as a
thousand scores have. Told is the client's processor time. All take turns;
``results/load_clients.json`` has every turn.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from benchmarks.harness import write_result
from benchmarks.peers.environments import REQUIREMENTS, packages
from benchmarks.quiet import quiet
from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.http.sockets import Sockets
from lrn_deploy.client.http.streams import Streams
from lrn_deploy.client.http.wire import HttpRequest
from lrn_deploy.load.drive import drive
from lrn_deploy.load.http import HttpSender
from lrn_deploy.load.plans import OpenLoop

SIZES = (154_587, 618_348)
HEAD = b'{"inputs": []}'
_PATH = "/v2/models/m/infer"
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n" + bytes(4000)
Ask = Callable[[int], None]
"""Asks so many times."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=200, help="of one turn")
    options = parser.parse_args()
    calm = quiet()
    with _server() as port:
        sizes = {
            str(size): _turns(_clients(port, size), options.rounds, options.requests)
            for size in SIZES
        }
    file = write_result(
        "load_clients",
        {
            "what": "processor time of a client for each request, in ms",
            "peers": [*REQUIREMENTS["httpx"], f"aiohttp=={aiohttp.__version__}"],
            "quiet": calm,
            "requests": options.requests,
            "bytes": sizes,
        },
    )
    for size, clients in sizes.items():
        for name, turns in clients.items():
            print(f"{size} bytes, {name}: {np.median(turns):.3f} ms")
    print(f"wrote {file}")


def _turns(clients: dict[str, Ask], rounds: int, requests: int) -> dict[str, list[float]]:
    turns: dict[str, list[float]] = {name: [] for name in clients}
    names = list(clients)
    for at in range(rounds + 1):
        start = at % len(names)
        for name in names[start:] + names[:start]:
            used = time.process_time()
            clients[name](requests)
            if at:  # the first round warms up
                turns[name].append(1e3 * (time.process_time() - used) / requests)
    return turns


def _clients(port: int, size: int) -> dict[str, Ask]:
    sys.path.append(str(packages("httpx")))
    import httpx  # type: ignore[import-not-found]  # of an environment of its own

    url = f"http://127.0.0.1:{port}"
    address = Address.of(url)
    tensor = bytes(size)
    length = {"inference-header-content-length": str(len(HEAD))}
    request = HttpRequest("POST", _PATH, tuple(length.items()), (HEAD, tensor))
    sockets = Sockets(address, Credentials())
    plain = http.client.HTTPConnection("127.0.0.1", port)
    pool = httpx.Client()

    def ours(count: int) -> None:
        for _ in range(count):
            sockets.exchange(request, 60.0)

    def load(count: int) -> None:
        sender = HttpSender(address, Credentials(), [request.whole(address.authority, {})], 1)
        drive(sender, OpenLoop([0.0] * count), timeout=60.0)
        sender.close()

    def standard(count: int) -> None:
        for _ in range(count):
            plain.request("POST", _PATH, HEAD + tensor, length)
            plain.getresponse().read()

    def of_httpx(count: int) -> None:
        for _ in range(count):
            pool.post(url + _PATH, content=HEAD + tensor, headers=length).read()

    async def ours_awaited(count: int) -> None:
        streams = Streams(address, Credentials())
        for _ in range(count):
            await streams.exchange(request)
        await streams.close()

    async def of_aiohttp(count: int) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(count):
                async with session.post(url + _PATH, data=HEAD + tensor, headers=length) as reply:
                    await reply.read()

    async def of_httpx_awaited(count: int) -> None:
        async with httpx.AsyncClient() as session:
            for _ in range(count):
                await session.post(url + _PATH, content=HEAD + tensor, headers=length)

    return {
        "lrn_deploy.client": ours,
        "lrn-deploy load": load,
        "http.client": standard,
        "httpx": of_httpx,
        "lrn_deploy.client, awaited": _run(ours_awaited),
        "aiohttp": _run(of_aiohttp),
        "httpx, awaited": _run(of_httpx_awaited),
    }


def _run(ask: Callable[[int], Awaitable[None]]) -> Ask:
    async def go(count: int) -> None:
        await ask(count)

    return lambda count: asyncio.run(go(count))


@contextmanager
def _server() -> Iterator[int]:
    """A process that answers at once; its port."""
    command: list[Any] = [sys.executable, "-m", f"benchmarks.{Path(__file__).stem}", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def serve() -> None:
    """Answer every request with the same."""

    def answer(connection: socket.socket) -> None:
        buffer = bytearray(1 << 20)
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := connection.recv(65536)):
                    return
                head += data
            lines, _, rest = head.partition(b"\r\n\r\n")
            (length,) = (
                int(line.split(b":")[1])
                for line in lines.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            left = length - len(rest)
            while left > 0:
                left -= connection.recv_into(buffer)
            connection.sendall(_ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()

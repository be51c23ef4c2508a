"""The blocking client against a server that answers byte for byte what a test says."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lrn_deploy.client import (
    NEVER,
    AsyncClient,
    Client,
    DeadlineError,
    LostError,
    NotFoundError,
    ProtocolError,
    Retry,
    TooLargeError,
    UnavailableError,
    UnreachableError,
)
from lrn_deploy.client.errors import ClientError
from tests.support.scripted import Scripted, answer, hang_up, scripted

SERVER = answer(200, {"name": "it", "version": "1", "extensions": []})
BUSY = answer(503, {"error": "The queue is full."}, retry_after="0")
OUTPUT = answer(200, {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [2]}]})
ROWS = {"x": np.zeros((1, 2), np.float32)}
AT_ONCE = {"draw": lambda low, _high: low}

Ask = Callable[..., Any]


def waiting(url: str, ask: str, *arguments: Any, **options: Any) -> Any:
    with Client(url, **options) as client:
        return getattr(client, ask)(*arguments)


def awaited(url: str, ask: str, *arguments: Any, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, **options) as client:
            return await getattr(client, ask)(*arguments)

    return asyncio.run(run())


@pytest.fixture(params=[waiting, awaited])
def ask(request: pytest.FixtureRequest) -> Ask:
    function: Ask = request.param
    return function


def test_a_key_and_headers_go_with_each_request(ask: Ask) -> None:
    with scripted(SERVER) as server:
        found = ask(server.url, "server_metadata", api_key="k", headers={"X-Team": "a"})
    assert found.name == "it"
    sent = server.asked[0].headers
    assert sent["authorization"] == "Bearer k"
    assert sent["x-team"] == "a"
    assert sent["host"] == f"127.0.0.1:{server.port}"


def test_connections_are_kept() -> None:
    with scripted(SERVER) as server, Client(server.url) as client:
        for _ in range(5):
            client.server_metadata()
    assert {one.connection for one in server.asked} == {1}


def test_tasks_keep_connections_too() -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url) as client:
            for _ in range(5):
                await client.server_metadata()

    with scripted(SERVER) as server:
        asyncio.run(run(server.url))
    assert {one.connection for one in server.asked} == {1}


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    """Nor is anything sent again for it: what cannot be sent twice may be asked all the same."""

    def close_after(connection: socket.socket) -> None:
        connection.sendall(answer(200))
        hang_up(connection)

    with scripted(close_after, answer(200)) as server, Client(server.url, retry=NEVER) as client:
        client.load("m")
        for _ in range(100):  # until its end has come
            if client._transport._idle[0].quiet():  # type: ignore[attr-defined]  # which transport it is, the URL says
                threading.Event().wait(0.01)
        client.load("m")
    assert [one.connection for one in server.asked] == [1, 2]


def test_a_task_does_not_use_a_connection_that_the_server_has_closed() -> None:
    def close_after(connection: socket.socket) -> None:
        connection.sendall(answer(200))
        hang_up(connection)

    async def run(url: str) -> None:
        async with AsyncClient(url, retry=NEVER) as client:
            await client.load("m")
            (kept,) = client._transport._idle  # type: ignore[attr-defined]  # as above
            for _ in range(100):
                if kept.usable:
                    await asyncio.sleep(0.01)
            await client.load("m")

    with scripted(close_after, answer(200)) as server:
        asyncio.run(run(server.url))
    assert [one.connection for one in server.asked] == [1, 2]


def test_what_is_under_way_when_a_client_is_closed_leaves_no_connection() -> None:
    released = threading.Event()

    def slow(connection: socket.socket) -> None:
        released.wait(5)
        connection.sendall(SERVER)

    with scripted(slow) as server:
        client = Client(server.url, retry=NEVER)
        thread = threading.Thread(target=client.server_metadata)
        thread.start()
        while not server.asked:
            threading.Event().wait(0.001)
        client.close()
        released.set()
        thread.join()
        assert client._transport._idle == []  # type: ignore[attr-defined]  # as above


def test_what_tasks_have_under_way_when_a_client_is_closed_leaves_no_connection() -> None:
    released = threading.Event()

    def slow(connection: socket.socket) -> None:
        released.wait(5)
        connection.sendall(SERVER)

    async def run(server: Scripted) -> None:
        client = AsyncClient(server.url, retry=NEVER)
        task = asyncio.create_task(client.server_metadata())
        while not server.asked:
            await asyncio.sleep(0.001)
        await client.close()
        released.set()
        await task
        assert client._transport._idle == []  # type: ignore[attr-defined]  # as above

    with scripted(slow) as server:
        asyncio.run(run(server))


def test_a_server_that_says_close_is_obeyed(ask: Ask) -> None:
    last = answer(200, {"name": "it", "extensions": []}, connection="close")
    with scripted(last) as server, Client(server.url) as client:
        client.server_metadata()
        client.server_metadata()
        ask(server.url, "server_metadata")
    assert [one.connection for one in server.asked] == [1, 2, 3]


def test_threads_share_a_client() -> None:
    with scripted(OUTPUT) as server, Client(server.url) as client:
        found: list[float] = []
        barrier = threading.Barrier(8)

        def run() -> None:
            barrier.wait()
            for _ in range(20):
                found.append(float(client.infer("m", ROWS)["y"][0]))

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [2.0] * 160
        assert len({one.connection for one in server.asked}) <= 8


def test_busy_is_asked_again(ask: Ask) -> None:
    with scripted(BUSY, BUSY, OUTPUT) as server:
        assert ask(server.url, "infer", "m", ROWS, retry=Retry(**AT_ONCE))["y"][0] == 2
    assert len(server.asked) == 3


def test_before_it_is_asked_again_the_time_passes_that_was_drawn() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def run(url: str) -> None:
        async with AsyncClient(url, retry=retry) as client:
            client._sleep = sleep
            await client.infer("m", ROWS)

    retry = Retry(first=0.25, draw=lambda _low, high: high)
    with scripted(BUSY, OUTPUT, BUSY, OUTPUT) as server:
        with Client(server.url, retry=retry) as client:
            client._sleep = slept.append
            client.infer("m", ROWS)
        asyncio.run(run(server.url))
    assert slept == [0.25, 0.25]


def test_busy_for_too_long_is_told_with_the_servers_words(ask: Ask) -> None:
    with scripted(BUSY) as server, pytest.raises(UnavailableError, match="queue is full"):
        ask(server.url, "infer", "m", ROWS, retry=Retry(attempts=3, **AT_ONCE))
    assert len(server.asked) == 3


def test_a_connection_that_is_lost_before_the_answer_is_opened_again(ask: Ask) -> None:
    with scripted(hang_up, OUTPUT) as server:
        assert ask(server.url, "infer", "m", ROWS, retry=Retry(**AT_ONCE))["y"][0] == 2
    assert len(server.asked) == 2


def test_half_an_answer_is_none(ask: Ask) -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(OUTPUT[:-4])
        hang_up(connection)

    with scripted(half) as server, pytest.raises(LostError, match="ended before the answer"):
        ask(server.url, "infer", "m", ROWS, retry=NEVER)


def test_loading_is_not_asked_twice_where_it_may_have_been_done(ask: Ask) -> None:
    with scripted(hang_up) as server, pytest.raises(LostError):
        ask(server.url, "load", "m", retry=Retry(**AT_ONCE))
    assert len(server.asked) == 1


def test_what_is_wrong_is_asked_once(ask: Ask) -> None:
    with (
        scripted(answer(404, {"error": "There is no model 'm'.", "request_id": "r"})) as server,
        pytest.raises(NotFoundError, match="no model 'm'") as caught,
    ):
        ask(server.url, "infer", "m", ROWS)
    assert len(server.asked) == 1
    assert caught.value.request_id == "r"


def test_a_deadline_ends_the_wait_and_goes_with_the_request(ask: Ask) -> None:
    released = threading.Event()
    with scripted(lambda _: released.wait(5)) as server:
        with pytest.raises(DeadlineError, match=r"no answer within 0\.1 s"):
            ask(server.url, "infer", "m", ROWS, timeout=0.1)
        released.set()
        assert server.asked[0].announced["parameters"]["timeout"] == 100_000


def test_where_nothing_is_said_an_inference_has_a_minute(ask: Ask) -> None:
    with scripted(OUTPUT) as server:
        ask(server.url, "infer", "m", ROWS)
    assert server.asked[0].announced["parameters"]["timeout"] == 60_000_000


def test_retries_send_what_is_left_of_the_deadline(ask: Ask) -> None:
    with scripted(BUSY, OUTPUT) as server:
        ask(server.url, "infer", "m", ROWS, timeout=5.0, retry=Retry(**AT_ONCE))
    sent = [one.announced["parameters"]["timeout"] for one in server.asked]
    assert sent[0] == 5_000_000
    assert 4_000_000 < sent[1] < 5_000_000


def test_after_a_deadline_the_late_answer_is_nobodys() -> None:
    """A connection with an answer that nobody waits for must not carry another request."""
    late = threading.Event()

    def slow(connection: socket.socket) -> None:
        late.wait(5)
        connection.sendall(answer(200, {"name": "late", "extensions": []}))

    with scripted(slow, SERVER) as server, Client(server.url, retry=NEVER) as client:
        with pytest.raises(DeadlineError):
            client.infer("m", ROWS, timeout=0.05)
        late.set()
        assert client.server_metadata().name == "it"
    assert [one.connection for one in server.asked] == [1, 2]


def test_an_answer_in_pieces_chunks_or_up_to_the_end_is_one(ask: Ask) -> None:
    text = b'{"name": "it", "extensions": ["x"]}'
    chunked = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"a\r\n" + text[:10] + b"\r\n" + f"{len(text) - 10:x}\r\n".encode() + text[10:]
        + b"\r\n0\r\n\r\n"
    )  # fmt: skip

    def pieces(connection: socket.socket) -> None:
        for at in range(len(SERVER)):
            connection.sendall(SERVER[at : at + 1])

    def to_the_end(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + text)
        hang_up(connection)

    interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + SERVER
    with scripted(pieces, chunked, to_the_end, interim) as server:
        for _ in range(4):
            assert ask(server.url, "server_metadata").name == "it"


def test_a_refusal_before_all_is_sent_is_read(ask: Ask) -> None:
    """The server refuses by the head and ends the connection; 16 MiB do not fit into any buffer."""
    refusal = answer(413, {"error": "Too large."}, connection="close")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(refusal)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        large = {"x": np.zeros((1, 1 << 22), np.float32)}
        with pytest.raises(TooLargeError, match=r"Too large\."):
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}", "infer", "m", large, retry=NEVER)
        thread.join()


def test_what_is_no_http_is_told(ask: Ask) -> None:
    with scripted(b"SSH-2.0-OpenSSH\r\n") as server, pytest.raises(ProtocolError, match="no HTTP"):
        ask(server.url, "server_metadata", retry=NEVER)


def test_where_nobody_listens_is_told(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(UnreachableError, match=f"Nobody answers at {url}") as caught:
        ask(url, "server_metadata", retry=NEVER)
    assert "started" in caught.value.hint
    assert ask(url, "live") is False
    assert ask(url, "ready") is False


def test_a_name_that_is_no_host_is_told(ask: Ask) -> None:
    with pytest.raises(UnreachableError, match="no-such-host"):
        ask("http://no-such-host.invalid", "server_metadata", retry=NEVER)


def test_every_error_is_a_client_error() -> None:
    assert issubclass(UnreachableError, ClientError)
    assert issubclass(ProtocolError, ClientError)


def test_nothing_is_given_is_told_without_a_request(ask: Ask) -> None:
    with scripted(SERVER) as server:
        with pytest.raises(Exception, match="No input is given"):
            ask(server.url, "infer", "m", {})
        assert ask(server.url, "classify_all", "m", []) == ()
    assert server.asked == []


def test_a_scripted_server_tells_requests_apart() -> None:
    """The server of these tests, by the standard library's client."""
    import urllib.request

    with scripted(answer(200, b"one"), answer(200, b"two")) as server:
        assert isinstance(server, Scripted)
        assert urllib.request.urlopen(server.url + "/a").read() == b"one"
        assert urllib.request.urlopen(server.url + "/b", b"body").read() == b"two"
    assert [(one.method, one.target, one.body) for one in server.asked] == [
        ("GET", "/a", b""),
        ("POST", "/b", b"body"),
    ]

"""The sender against a server that answers byte for byte what a test says."""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.errors import UnreachableError
from lrn_deploy.client.http.wire import HttpAnswer, HttpRequest
from lrn_deploy.load import http as module
from lrn_deploy.load.drive import ANSWERED, LOST, NO_CONNECTION, Ended, drive
from lrn_deploy.load.http import WRONG, HttpSender, outcome_of
from lrn_deploy.load.plans import ClosedLoop, OpenLoop
from tests.support.certificates import Authority, authority
from tests.support.scripted import Scripted, answer, hang_up, scripted

SMALL = HttpRequest("POST", "/x", (), (b"abc",))


def sender(
    server: Scripted, *requests: HttpRequest, most: int = 8, **further: object
) -> HttpSender:
    address = Address.of(server.url)
    wholes = [one.whole(address.authority, {}) for one in requests or (SMALL,)]
    return HttpSender(address, Credentials(), wholes, most, **further)  # type: ignore[arg-type]  # options and scripts of any kind


def until(one: HttpSender, count: int) -> list[Ended]:
    """What has ended once so many have."""
    ended: list[Ended] = []
    limit = time.monotonic() + 5
    while len(ended) < count and time.monotonic() < limit:
        ended += one.wait(0.05)
    return ended


def test_requests_go_in_turn_over_connections_that_are_kept() -> None:
    requests = [HttpRequest("POST", f"/{at}", (), (bytes([at]),)) for at in range(3)]
    with scripted(answer(200, b"ok")) as server:
        one = sender(server, *requests)
        for ticket in range(6):
            one.send(ticket)
            assert [(ended[0], ended[2]) for ended in until(one, 1)] == [(ticket, ANSWERED)]
        one.close()
    assert [asked.target for asked in server.asked] == ["/0", "/1", "/2"] * 2
    assert [asked.body for asked in server.asked[:3]] == [b"\0", b"\1", b"\2"]
    assert len({asked.connection for asked in server.asked}) == 1


def test_an_answer_is_seen_as_soon_as_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(200)) as server:
        one = sender(server)
        one.send(0)
        assert [ended[0] for ended in one.wait(5.0)] == [0]
        one.send(1)
        select.select((one._selector.fileno(),), (), (), 5)
        monkeypatch.setattr(one, "_pause", lambda _: pytest.fail("it waited"))
        assert [ended[0] for ended in one.wait(5.0)] == [1]
        one.close()


def test_where_there_is_no_epoll_answers_are_waited_for_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.selectors, "DefaultSelector", module.selectors.SelectSelector)
    with scripted(answer(200)) as server:
        one = sender(server)
        one.send(0)
        assert [ended[0] for ended in one.wait(5.0)] == [0]
        one.close()


def test_several_are_under_way_at_once() -> None:
    with scripted(answer(200)) as server:
        one = sender(server)
        for ticket in range(8):
            one.send(ticket)
        assert sorted(ended[0] for ended in until(one, 8)) == list(range(8))
        one.close()
    assert len({asked.connection for asked in server.asked}) == 8


def test_what_does_not_fit_into_the_socket_goes_piece_by_piece() -> None:
    large = HttpRequest("POST", "/x", (), (b"ab" * (8 << 20), b"end"))
    with scripted(answer(200, b"x" * (4 << 20))) as server:
        one = sender(server, large)
        one.send(0)
        assert [ended[2] for ended in until(one, 1)] == [ANSWERED]
        one.close()
    assert server.asked[0].body == b"".join(large.parts)


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (answer(503, b"full"), "503 Service Unavailable"),
        (answer(599), "599"),
        (hang_up, LOST),
        (b"nonsense\r\n\r\n", LOST),
        (answer(200, b"no"), WRONG),
    ],
)
def test_what_goes_wrong_is_told_by_kind(act: object, outcome: str) -> None:
    def check(which: int, found: HttpAnswer) -> str:
        assert which == 0
        return WRONG if found.body == b"no" else outcome_of(found)

    with scripted(act) as server:  # type: ignore[arg-type]  # options and scripts of any kind
        one = sender(server, check=check)
        one.send(0)
        assert [ended[2] for ended in until(one, 1)] == [outcome]
        server.answers[:] = [answer(200, b"yes")]
        one.send(1)
        assert [ended[2] for ended in until(one, 1)] == [ANSWERED]
        one.close()


def test_a_connection_that_the_server_closes_meanwhile_is_not_used_again() -> None:
    def last(connection: socket.socket) -> None:
        connection.sendall(answer(200))
        hang_up(connection)

    with scripted(last, answer(200)) as server:
        one = sender(server)
        one.send(0)
        until(one, 1)
        while one._idle:
            one.wait(0.05)
        one.send(1)
        assert [ended[2] for ended in until(one, 1)] == [ANSWERED]
        one.close()


def test_a_connection_that_the_server_ends_with_its_answer_is_not_used_again() -> None:
    with scripted(answer(200, connection="close"), answer(200)) as server:
        one = sender(server)
        for ticket in range(2):
            one.send(ticket)
            assert [ended[2] for ended in until(one, 1)] == [ANSWERED]
        one.close()
    assert [asked.connection for asked in server.asked] == [1, 2]


def test_an_answer_that_nobody_asked_for_ends_its_connection() -> None:
    def twice(connection: socket.socket) -> None:
        connection.sendall(answer(200))
        time.sleep(0.02)
        connection.sendall(answer(200))

    with scripted(twice, answer(200)) as server:
        one = sender(server)
        one.send(0)
        assert [ended[2] for ended in until(one, 1)] == [ANSWERED]
        while one._idle:
            assert list(one.wait(0.05)) == []
        one.send(1)
        assert [ended[2] for ended in until(one, 1)] == [ANSWERED]
        one.close()
    assert [asked.connection for asked in server.asked] == [1, 2]


def test_nothing_waits_to_be_filled_and_nothing_is_left_open() -> None:
    """Small requests are sent at once (TCP_NODELAY), on the first connection and on others."""
    with scripted(lambda _connection: None) as server:
        one = sender(server)
        for ticket in range(2):
            one.send(ticket)
        busy = [connection.stream for connection in one._busy.values()]
        assert len(busy) == 2
        for stream in busy:
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not stream.getblocking()
        one.close()
        assert [stream.fileno() for stream in busy] == [-1, -1]
        assert (one._busy, one._idle, one._selector.get_map()) == ({}, [], None)


def test_an_end_before_the_whole_answer_is_a_loss_and_one_without_a_length_is_not() -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")
        hang_up(connection)

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nwhole")
        hang_up(connection)

    with scripted(cut, endless) as server:
        one = sender(server)
        for ticket, outcome in enumerate((LOST, ANSWERED)):
            one.send(ticket)
            assert [ended[2] for ended in until(one, 1)] == [outcome]
        assert (one._busy, one._idle) == ({}, [])
        one.close()


@pytest.fixture(scope="module")
def vouched(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


def over_tls(server: Scripted, made: Authority, *requests: bytes, host: str = "127.0.0.1") -> Any:
    address = Address("http", host, server.port, secure=True)
    return HttpSender(address, Credentials(ca=made.file), requests, 2)


def server_side(made: Authority) -> Callable[[socket.socket], socket.socket]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, made.pair("server", "127.0.0.1")))
    return lambda connection: context.wrap_socket(connection, server_side=True)


def test_over_tls_large_requests_and_answers_go_through_kept_connections(
    vouched: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = HttpRequest("POST", "/x", (), (b"ab" * (1 << 20),))
    body = bytes(range(256)) * (1 << 13)
    found: list[bytes] = []
    first: list[socket.socket] = []
    connected = module._connected

    def seen(address: Address) -> socket.socket:
        first.append(connected(address))
        return first[0]

    monkeypatch.setattr(module, "_connected", seen)
    with scripted(answer(200, body), wrap=server_side(vouched)) as server:
        one = over_tls(server, vouched, large.whole(f"127.0.0.1:{server.port}", {}))
        one._check = lambda _which, told: (found.append(told.body), ANSWERED)[1]
        for ticket in (0, 1, 2):
            one.send(ticket)
            if ticket:  # of the first two both are under way at once
                until(one, 2 if ticket == 1 else 1)
        one.close()
    assert found == [body] * 3
    assert {asked.body for asked in server.asked} == {large.parts[0]}
    # The first connection only finds out where the server is.
    assert first[0].fileno() == -1
    assert len({asked.connection for asked in server.asked}) == 2


def test_a_server_that_nobody_vouches_for_gets_no_request(
    vouched: Authority, tmp_path: Path
) -> None:
    with scripted(answer(200), wrap=server_side(vouched)) as server:
        for made, host in ((authority(tmp_path), "127.0.0.1"), (vouched, "localhost")):
            one = over_tls(server, made, b"GET / HTTP/1.1\r\n\r\n", host=host)
            one.send(0)
            assert [ended[2] for ended in until(one, 1)] == [NO_CONNECTION]
            one.close()
    assert server.asked == []


def test_where_no_connection_can_be_opened_that_is_what_became_of_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_many() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with scripted(answer(200)) as server:
        one = sender(server)
        one.send(0)
        monkeypatch.setattr(one, "_open", too_many)
        monkeypatch.setattr(one, "_pause", lambda _: pytest.fail("it waited"))
        one.send(1)  # which has ended already, so nothing is waited for
        assert [ended[::2] for ended in one.wait(5.0) if ended[0]] == [(1, NO_CONNECTION)]
        one.wait(0)
        one.close()


def test_a_server_that_takes_its_time_to_be_connected_to_is_waited_for(vouched: Authority) -> None:
    """Its queue of connections is full, as a server's is that is far away for a moment."""
    with socket.socket() as listener, ExitStack() as queued:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = Address("http", *listener.getsockname(), secure=True)
        one = HttpSender(address, Credentials(ca=vouched.file), (b"",), 2)
        for _ in range(4):
            waiting = queued.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        one.send(0)
        assert list(one.wait(0)) == []
        assert list(one._busy) == [0]
        one.close()


def test_a_handshake_waits_for_what_it_wants_and_for_nothing_else(
    vouched: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that can be written to nearly always would else keep the loop busy."""
    wants = [ssl.SSLWantReadError(), ssl.SSLWantWriteError(), ssl.SSLWantReadError()]

    def handshake() -> None:
        raise wants.pop(0)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("http", *listener.getsockname(), secure=True)
        one = HttpSender(address, Credentials(ca=vouched.file), (b"",), 1)
        one.send(0)
        (connection,) = one._busy.values()
        monkeypatch.setattr(one, "_secured", lambda *_: SimpleNamespace(do_handshake=handshake))
        for watched in (module._READ, module._READ | module._WRITE, module._READ):
            one._connect(connection)
            assert connection.watched == watched
            assert one._selector.get_key(connection.stream).events == watched
        one.close()


class Refusing:
    """A socket that takes no more, as one whose other end was closed."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream

    def send(self, _data: object) -> int:
        raise BrokenPipeError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def test_what_a_server_said_before_it_had_read_all_is_the_outcome() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = HttpSender(Address("http", *listener.getsockname()), Credentials(), (b"large",), 1)
        with listener.accept()[0] as peer:
            (connection,) = one._idle
            connection.stream = Refusing(connection.stream)  # type: ignore[assignment]  # as far as it is used
            one.send(0)
            assert (connection.rest, connection.watched) == (None, module._READ)
            peer.sendall(answer(413, b"too large"))
            assert [ended[2][:4] for ended in until(one, 1)] == ["413 "]
            assert (one._busy, one._idle) == ({}, [])  # it is of no further use
        one.close()


def test_what_is_given_up_is_forgotten_with_its_connection() -> None:
    with scripted(lambda _connection: None, answer(200)) as server:
        one = sender(server)
        one.send(0)
        while not server.asked:
            one.wait(0.01)
        (given_up,) = one._busy.values()
        one.abandon(0)
        one.abandon(0)  # of which nothing is known any more
        assert (one._busy, given_up.stream.fileno()) == ({}, -1)
        one.send(1)
        assert [ended[:1] + ended[2:] for ended in until(one, 1)] == [(1, ANSWERED)]
        one.close()
    assert len({asked.connection for asked in server.asked}) == 2


def test_nobody_there_is_told_before_and_meanwhile() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address("http", "127.0.0.1", listener.getsockname()[1])
        one = HttpSender(address, Credentials(), (b"",), 4)
    one.send(0)
    assert [ended[2] for ended in until(one, 1)] == [LOST]  # there was one already
    one.send(1)
    assert [ended[2] for ended in until(one, 1)] == [NO_CONNECTION]
    one.close()
    with pytest.raises(UnreachableError, match="Nobody answers"):
        HttpSender(address, Credentials(), (b"",), 4)


def test_it_waits_to_a_part_of_a_millisecond() -> None:
    """An open loop at 2000/s would be half a millisecond late each time by epoll's own clock."""
    with scripted(answer(200)) as server:
        one = sender(server)
        waits = []
        for _ in range(50):
            began = time.perf_counter()
            one.wait(0.0003)
            waits.append(time.perf_counter() - began)
        one.close()
    assert 0.0003 <= min(waits) < 0.0009  # epoll alone: 1 ms at least


def test_loops_over_real_sockets() -> None:
    with scripted(answer(200)) as server:
        one = sender(server)
        taken = drive(one, ClosedLoop(2, seconds=0.1), timeout=1.0)
        assert set(taken.outcomes) == {ANSWERED}
        assert all(b >= a for a, b in zip(taken.sent, taken.ended, strict=True))
        arrivals = [at / 1000 for at in range(100)]
        taken = drive(one, OpenLoop(arrivals), timeout=1.0)
        assert taken.outcomes == [ANSWERED] * 100
        assert min(b - a for a, b in zip(taken.due, taken.sent, strict=True)) >= 0
        one.close()

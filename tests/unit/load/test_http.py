"""The sender against a server that answers byte for byte what a test says."""

from __future__ import annotations

import socket
import time

import pytest

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.client.errors import UnreachableError
from lrn_deploy.client.http.wire import HttpAnswer, HttpRequest
from lrn_deploy.load.drive import ANSWERED, LOST, NO_CONNECTION, Ended, drive
from lrn_deploy.load.http import WRONG, HttpSender, outcome_of
from lrn_deploy.load.plans import ClosedLoop, OpenLoop
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


def test_what_is_given_up_is_forgotten_with_its_connection() -> None:
    with scripted(lambda _connection: None, answer(200)) as server:
        one = sender(server)
        one.send(0)
        while not server.asked:
            one.wait(0.01)
        one.abandon(0)
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

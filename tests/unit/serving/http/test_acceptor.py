"""One connection that comes: what it is encrypted with, how long that may take, who is told."""

from __future__ import annotations

import asyncio
import errno
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.http.accept import Acceptor, _reason
from lrn_deploy.serving.http.crowd import Crowd
from lrn_deploy.serving.http.message import Response, error_response
from lrn_deploy.serving.request import Request


class Listening:
    """A listening socket at which one caller waits, or which fails."""

    def __init__(self, error: OSError | None = None) -> None:
        self.error = error
        self.sent = b""
        self.events: list[str] = []

    def fileno(self) -> int:
        return 77

    def accept(self) -> Any:
        if self.error is not None:
            raise self.error
        self.error = BlockingIOError()
        return self, ("10.0.0.9", 4711)

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def send(self, data: bytes) -> None:
        self.sent += data

    def shutdown(self, _how: int) -> None:
        self.events.append("shutdown")

    def close(self) -> None:
        self.events.append("close")

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class House:
    """What an acceptor shares, with a loop that notes what it is asked for."""

    def __init__(self, crowd: Crowd, failure: BaseException | None = None) -> None:
        self.crowd = crowd
        self.failure = failure
        self.loop = self
        self.handler = self
        self.connections: set[object] = set()
        self.date = "date: x\r\n"
        self.asked: list[Any] = []
        self.refused: list[tuple[Request, RequestError, int]] = []

    def refusal(self, request: Request, error: RequestError, started: int) -> Response:
        self.refused.append((request, error, started))
        return error_response(error, request.id)

    async def connect_accepted_socket(self, _make: Any, accepted: Any, **told: Any) -> None:
        self.asked.append((accepted, told))
        if self.failure is not None:
            raise self.failure

    def call_later(self, seconds: float, act: Any) -> Any:
        self.asked.append((seconds, act))
        return SimpleNamespace(cancel=lambda: self.asked.append("cancelled"))

    def add_reader(self, number: int, _act: Any) -> None:
        self.asked.append(("add", number))

    def remove_reader(self, number: int) -> None:
        self.asked.append(("remove", number))


def acceptor(
    house: House, listening: Listening, context: object = None, said: list[str] | None = None
) -> Acceptor:
    lines: list[str] = [] if said is None else said
    give = None if context is None else lambda: cast(ssl.SSLContext, context)
    return Acceptor(cast(Any, listening), cast(Any, house), give, lines.append)


def test_a_handshake_has_ten_seconds_and_the_goodbye_two() -> None:
    context, accepted = object(), Listening()
    house = House(Crowd())
    asyncio.run(acceptor(house, Listening(), context)._begin(cast(Any, accepted), "h"))
    asyncio.run(acceptor(house, Listening())._begin(cast(Any, accepted), "h"))
    names = ("ssl", "ssl_handshake_timeout", "ssl_shutdown_timeout")
    assert [(one, tuple(told[name] for name in names)) for one, told in house.asked] == [
        (accepted, (context, 10, 2)),
        (accepted, (None, None, None)),
    ]


def test_who_does_not_get_in_is_counted_out_and_a_failed_handshake_is_logged() -> None:
    failed = ssl.SSLError(1, "long")
    failed.reason = "HTTP_REQUEST"
    for failure, told in ((failed, ["10.0.0.9"]), (OSError("gone"), [])):
        crowd, accepted = Crowd(), Listening()
        house = House(crowd, failure)
        assert crowd.enter("10.0.0.9") == ""
        asyncio.run(acceptor(house, Listening(), object())._begin(cast(Any, accepted), "10.0.0.9"))
        assert (crowd.count, accepted.events) == (0, ["close"])
        assert [request.peer for request, _, _ in house.refused] == told
        assert all("speaks HTTP without TLS" in error.message for _, error, _ in house.refused)
    crowd = Crowd()
    crowd.enter("h")
    with pytest.raises(ZeroDivisionError):  # a bug of ours
        asyncio.run(acceptor(House(crowd, ZeroDivisionError()), Listening())._begin(
            cast(Any, Listening()), "h"
        ))  # fmt: skip
    assert crowd.count == 0


@pytest.mark.parametrize("secure", [False, True])
def test_who_is_one_too_many_hears_why_unless_that_takes_a_handshake(secure: bool) -> None:
    crowd = Crowd(1)
    crowd.enter("10.0.0.1")
    house, listening = House(crowd), Listening()
    acceptor(house, listening, object() if secure else None)._accept()
    ((request, error, started),) = house.refused
    assert (request.peer, request.caller, error.status) == ("10.0.0.9", "10.0.0.9", 503)
    assert started > 0
    if secure:
        assert (listening.sent, listening.events) == (b"", ["close"])
    else:
        head, _, body = listening.sent.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\ndate: x\r\n")
        assert f"content-length: {len(body)}\r\n".encode() in head
        assert head.endswith(b"connection: close")
        assert listening.events == ["shutdown", "close"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_where_nothing_is_left_it_is_tried_again_a_quarter_of_a_second_later(number: int) -> None:
    said: list[str] = []
    house = House(Crowd())
    one = acceptor(house, Listening(OSError(number, "none")), said=said)
    one._accept()
    assert house.asked == [("remove", 77), (0.25, one.start)]
    one._accept()
    assert len(said) == 1
    one.stop()
    assert house.asked[-2:] == ["cancelled", ("remove", 77)]


def test_what_is_no_lack_is_no_pause() -> None:
    with pytest.raises(OSError, match="bad"):
        acceptor(House(Crowd()), Listening(OSError(errno.EBADF, "bad")))._accept()
    for error in (BlockingIOError(), InterruptedError(), ConnectionAbortedError()):
        said: list[str] = []
        house = House(Crowd())
        acceptor(house, Listening(error), said=said)._accept()
        assert (house.asked, said) == ([], [])


def test_why_a_handshake_failed() -> None:
    def failure(reason: str | None, verified: str | None = None) -> ssl.SSLError:
        error = ssl.SSLError(1, "long")
        error.reason = reason  # type: ignore[assignment]  # None where OpenSSL says none
        if verified is not None:
            error.verify_message = verified  # type: ignore[attr-defined]  # as OpenSSL sets it
        return error

    assert _reason(failure("HTTP_REQUEST")) == "the peer speaks HTTP without TLS"
    none = "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert _reason(failure(none)) == "the peer has no certificate"
    assert _reason(failure("UNSUPPORTED_PROTOCOL")) == "the peer's TLS is older than 1.2"
    assert _reason(failure("CERTIFICATE_VERIFY_FAILED", "self-signed")) == "self-signed"
    assert _reason(failure("ODD", "")) == "ODD"
    assert _reason(failure(None)) == str(failure(None))

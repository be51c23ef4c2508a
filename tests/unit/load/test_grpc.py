"""What became of requests over gRPC, by their status; calls are answered here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from lrn_deploy.client.address import Address, Credentials
from lrn_deploy.load import workload
from lrn_deploy.load.drive import ANSWERED, LOST, NO_ANSWER, NO_CONNECTION
from lrn_deploy.load.grpc import GrpcSender
from lrn_deploy.load.options import LoadOptions

CODES = grpc.StatusCode


class Future:
    """A call that has ended, or is under way until it is cancelled."""

    def __init__(self, code: Any = None, details: str = "") -> None:
        self.told = code
        self.said = details
        self.cancelled = False

    def code(self) -> Any:
        return self.told

    def details(self) -> str:
        return self.said

    def trailing_metadata(self) -> Any:
        return ()

    def add_done_callback(self, done: Any) -> None:
        if self.told is not None:
            done(self)

    def cancel(self) -> None:
        self.cancelled = True


class Calls:
    """Gives futures in turn, and keeps what was sent."""

    def __init__(self, *futures: Future) -> None:
        self.futures = list(futures)
        self.sent: list[tuple[bytes, dict[str, Any]]] = []

    def future(self, request: bytes, **told: Any) -> Future:
        self.sent.append((request, told))
        return self.futures.pop(0)


def sender(calls: Calls, most: int = 1) -> GrpcSender:
    requests = [pb.ModelInferRequest(id=name) for name in ("a", "b")]
    made = GrpcSender(Address("grpc", "127.0.0.1", 1), Credentials("k"), requests, most, 2.5)
    made._calls = [calls] * len(made._calls)
    return made


@pytest.mark.parametrize(
    ("future", "outcome"),
    [
        (Future(CODES.OK), ANSWERED),
        (Future(CODES.DEADLINE_EXCEEDED), NO_ANSWER),
        (Future(CODES.UNAVAILABLE, "failed to connect to all addresses"), NO_CONNECTION),
        (Future(CODES.UNAVAILABLE, "Socket closed"), LOST),
        (Future(CODES.UNAVAILABLE, "The queue is full."), "UNAVAILABLE"),
        (Future(CODES.NOT_FOUND, "No."), "NOT_FOUND"),
    ],
)
def test_what_became_of_a_request(future: Future, outcome: str) -> None:
    one = sender(Calls(future))
    one.send(7)
    ((ticket, _, found),) = one.wait(0)
    assert (ticket, found) == (7, outcome)
    assert one.wait(0) == []
    one.close()


def test_requests_go_in_turn_with_key_and_time() -> None:
    calls = Calls(*(Future(CODES.OK) for _ in range(3)))
    one = sender(calls)
    for ticket in range(3):
        one.send(ticket)
    assert [ticket for ticket, _, _ in one.wait(1.0)] == [0, 1, 2]
    sent = [pb.ModelInferRequest.FromString(request).id for request, _ in calls.sent]
    assert sent == ["a", "b", "a"]
    assert calls.sent[0][1] == {"timeout": 2.5, "metadata": (("authorization", "Bearer k"),)}
    one.close()


def test_what_is_given_up_is_cancelled() -> None:
    under_way = Future()
    one = sender(Calls(under_way))
    one.send(0)
    assert one.wait(0.001) == []
    one.abandon(0)
    one.abandon(0)
    assert under_way.cancelled
    one.close()


@pytest.mark.parametrize(("most", "channels"), [(1, 1), (4, 4), (512, 4)])
def test_requests_share_four_connections(most: int, channels: int) -> None:
    one = sender(Calls(), most)
    assert (one.most, len(one._channels)) == (most, channels)
    one.close()


@pytest.mark.parametrize("secure", [True, False])
def test_connections_are_as_secure_as_the_address_says(
    secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[object, ...]] = []
    closed: list[bool] = []

    def channel(*given: object) -> Any:
        made.append(given)
        return SimpleNamespace(unary_unary=lambda path: path, close=lambda: closed.append(True))

    monkeypatch.setattr(grpc, "secure_channel", channel)
    monkeypatch.setattr(grpc, "insecure_channel", channel)
    address = Address("grpc", "127.0.0.1", 1, secure)
    one = GrpcSender(address, Credentials(), [pb.ModelInferRequest()], 2, 1.0)
    assert [len(given) for given in made] == [3 if secure else 2] * 2
    assert {given[0] for given in made} == {"127.0.0.1:1"}
    assert one._calls == ["/inference.GRPCInferenceService/ModelInfer"] * 2
    one.close()
    assert closed == [True, True]


def test_a_request_is_as_large_as_they_are_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [pb.ModelInferRequest(model_name="m" * count) for count in (10, 31)]
    monkeypatch.setattr(
        "lrn_deploy.client.grpc.language.encode", lambda message: (object(), message)
    )
    known: Any = Address("grpc", "127.0.0.1", 1), Credentials(), asked, LoadOptions(concurrency=1)
    told = workload._over_grpc(*known, ("m", "s", "it"))
    assert told.nbytes == (12 + 33) // 2

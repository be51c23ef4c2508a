"""What stands before the replicas: who is let in, what is sent again, what is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError

from lrn_deploy.cluster.serve import front as module
from lrn_deploy.cluster.serve.front import Front, FrontService
from lrn_deploy.cluster.serve.replica import Asked
from lrn_deploy.serving.errors import TooManyError
from lrn_deploy.serving.http.message import Response, json_response
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.settings import ServerSettings

_INFER = "/v2/models/colours/infer"


class _Pending:
    """What a handle gives: an answer to wait for, which can be cancelled."""

    def __init__(self, work: Coroutine[Any, Any, Response]) -> None:
        self._work = work
        self.cancelled = False

    def __await__(self) -> Any:
        return self._work.__await__()

    def cancel(self) -> None:
        self.cancelled = True


class _Replicas:
    """Ray Serve's handle: gives what a test says, an error or an answer, one after the other."""

    def __init__(self, *outcomes: Exception | Response | None) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[Asked] = []
        self.pending: list[_Pending] = []
        self.answer = self

    def remote(self, asked: Asked) -> _Pending:
        self.asked.append(asked)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

        async def work() -> Response:
            if outcome is None:
                await asyncio.sleep(60)
            if isinstance(outcome, Exception):
                raise outcome
            assert outcome is not None
            return outcome

        self.pending.append(_Pending(work()))
        return self.pending[-1]


_FINE = json_response({"fine": True})


def front(replicas: Any, seconds: float | None = None, **settings: Any) -> Front:
    chosen = ServerSettings(**{"access_log": "none"} | settings)
    return Front(FrontService(chosen), replicas, seconds)


def ask(server: Front, method: str = "POST", path: str = _INFER, **headers: str) -> Response:
    request = server.begin(method, path, headers, {}, "127.0.0.1:5")
    server.admit(request)
    request.body = bytearray(b"body")
    return asyncio.run(server.handle(request))


def error(response: Response) -> str:
    return str(json.loads(response.body)["error"])


AGAIN_SECONDS = module._AGAIN_SECONDS


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrn_deploy.cluster.serve.front._AGAIN_SECONDS", 0)


@pytest.mark.parametrize(
    "lost", [ActorDiedError(), ActorUnavailableError("gone", None)], ids=["died", "unavailable"]
)
def test_what_a_replica_took_along_is_sent_to_another(lost: Exception) -> None:
    replicas = _Replicas(lost, lost, _FINE)
    server = front(replicas)
    assert ask(server) == _FINE
    assert server.lost == 2
    assert len({id(asked) for asked in replicas.asked}) == 1
    assert len(replicas.asked) == 3
    assert replicas.asked[0].body == b"body"


def test_what_a_replica_answers_is_what_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    server = front(_Replicas(Response(404)))
    logged: list[int] = []
    monkeypatch.setattr(
        server.service, "log", SimpleNamespace(done=lambda _, status, __: logged.append(status))
    )
    assert ask(server).status == 404
    assert logged == [404]


def test_another_replica_is_asked_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AGAIN_SECONDS == 0.05
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(module, "_AGAIN_SECONDS", AGAIN_SECONDS)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert ask(front(_Replicas(ActorDiedError(), ActorDiedError(), _FINE))) == _FINE
    failing = front(_Counting(ActorDiedError()))
    assert ask(failing, "GET", "/metrics").status == 200
    assert pauses == [0.05] * 3


def test_a_request_that_ends_every_replica_is_given_up() -> None:
    replicas = _Replicas(ActorDiedError())
    response = ask(front(replicas))
    assert response.status == 500
    assert error(response) == "20 replicas have ended while they answered this request."
    assert len(replicas.asked) == 20


def test_a_bug_of_a_replica_is_not_tried_again() -> None:
    replicas = _Replicas(RayTaskError("answer", "Traceback", ValueError("broken")), _FINE)
    assert ask(front(replicas)).status == 500
    assert len(replicas.asked) == 1


def test_more_than_may_wait_is_503() -> None:
    response = ask(front(_Replicas(BackPressureError(1, 1))))
    assert (response.status, error(response)) == (503, "More requests wait than may.")


def test_no_answer_in_time_is_503_and_nobody_works_on_for_it() -> None:
    replicas = _Replicas(None)
    response = ask(front(replicas, seconds=0.05))
    assert (response.status, error(response)) == (503, "No replica has answered within 0.05 s.")
    assert replicas.pending[0].cancelled


def test_no_replica_in_time_is_not_ready() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrn_deploy.cluster.serve.front._READY_SECONDS", 0.05)
        server = front(_Replicas(None))
        assert ask(server, "GET", "/v2/health/ready").status == 503
        assert ask(server, "GET", "/v2/health/live").status == 200


def test_whether_it_is_ready_is_known_within_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float | None] = []
    timeout = asyncio.timeout
    monkeypatch.setattr(
        asyncio, "timeout", lambda seconds: (limits.append(seconds), timeout(seconds))[1]
    )
    server = front(_Replicas(_FINE), seconds=7.5)
    ask(server, "GET", "/v2/health/ready")
    ask(server)
    ask(front(_Replicas(_FINE)))
    assert limits == [2.0, 7.5, None]


class _Counting:
    """A handle whose replicas tell their counters, after so many failures."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    def broadcast(self, method: str) -> _Counting:
        assert method == "metrics"
        return self

    async def results_async(self, timeout_s: float) -> list[tuple[str, str]]:
        assert 0 < timeout_s <= 5
        if self.failures:
            raise self.failures.pop(0)
        return [("a", "seen 1\n"), ("b", "seen 2\n")]


def test_metrics_are_those_of_all_replicas_once_a_dead_one_is_known() -> None:
    response = ask(front(_Counting(ActorDiedError())), "GET", "/metrics")
    assert response.status == 200
    lines = response.body.decode().splitlines()
    assert lines[:2] == ['seen{replica="a"} 1', 'seen{replica="b"} 2']
    assert lines[-1] == "lrn_replicas_lost 0"


def test_metrics_that_do_not_come_are_503(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(front(_Counting(TimeoutError())), "GET", "/metrics").status == 503
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 7.0))
    for seconds, status in (0.0, 503), (0.5, 200):
        monkeypatch.setattr(module, "_METRICS_SECONDS", seconds)
        assert ask(front(_Counting()), "GET", "/metrics").status == status


def test_metrics_tell_how_often_a_request_was_sent_again() -> None:
    counting = _Counting()
    server = front(counting)
    server.lost = 3
    *_, told, kind, value = ask(server, "GET", "/metrics").body.decode().splitlines()
    assert told.startswith("# HELP lrn_replicas_lost ")
    assert (kind, value) == ("# TYPE lrn_replicas_lost counter", "lrn_replicas_lost 3")


def test_a_server_that_stops_is_not_ready_whatever_its_replicas_say() -> None:
    server = front(_Replicas(Response()))
    assert ask(server, "GET", "/v2/health/ready").status == 200
    server.service.stopping = True
    assert ask(server, "GET", "/v2/health/ready").status == 503


def test_the_rate_of_a_caller_counts_for_all_replicas_together() -> None:
    server = front(_Replicas(_FINE), rate_limit=0.001)
    assert ask(server) == _FINE
    with pytest.raises(TooManyError):
        server.admit(Request("POST", _INFER, caller="127.0.0.1"))


def test_a_replica_is_told_the_id_and_the_trace_of_the_request() -> None:
    replicas = _Replicas(_FINE)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    ask(front(replicas), **{"x-request-id": "mine", "traceparent": trace})
    headers = replicas.asked[0].headers
    assert headers["x-request-id"] == "mine"
    told = headers["traceparent"].split("-")
    assert told[1] == trace.split("-")[1]
    assert told[2] != trace.split("-")[2]  # the span of the front, which the replica's is within


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/v1/stats", 501), ("/openapi.json", 200)]
)
def test_what_needs_no_replica_asks_none(path: str, status: int) -> None:
    replicas = _Replicas(_FINE)
    server = front(replicas)
    request = server.begin("GET", path, {}, {}, "127.0.0.1:5")
    assert asyncio.run(server.handle(request)).status == status
    assert replicas.asked == []

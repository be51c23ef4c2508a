"""A replica answers as the server does, whether our front asks it or Ray's own proxy."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray")

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse

from lrn_deploy.cluster.serve.replica import Asked, Replica, refusal
from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.repository.model import ServedModel
from tests.support.image_bundles import SURE, colour_bundle, picture

_RED = picture("red")


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Replica:
    bundle = colour_bundle(tmp_path_factory.mktemp("bundles") / "colours")
    return Replica([("", str(bundle.path), "")], {}, {"max_body_bytes": 10_000})


def by_proxy(
    replica: Replica,
    body: bytes,
    path: str = "/v1/classify",
    *,
    first: int = 100,
    scope: Any = None,
    **headers: str,
) -> Any:
    """What the replica answers to a request of Ray's proxy, with its body in two parts."""
    parts = [body[:first], body[first:]]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "root_path": "",
        "query_string": b"top=1",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 5),
        **(scope or {}),
    }

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    return asyncio.run(replica(HttpRequest(scope, receive)))


def test_both_ways_give_the_same_bytes(replica: Replica) -> None:
    asked = Asked("POST", "/v1/classify", {"x-request-id": "mine"}, {"top": "1"}, _RED, "a:1")
    own = asyncio.run(replica.answer(asked))
    rays: HttpResponse = by_proxy(replica, _RED, **{"x-request-id": "mine"})
    assert own.status == rays.status_code == 200
    here, there = json.loads(own.body), json.loads(bytes(rays.body))
    prediction = here["results"][0]["predictions"][0]
    assert prediction["label"] == "red"
    assert prediction["probability"] == pytest.approx(SURE)
    assert {**here, "timing": 0} == {**there, "timing": 0}
    assert rays.headers["x-request-id"] == "mine"
    assert rays.headers["content-type"] == dict(own.headers)["content-type"]
    assert rays.headers["content-length"] == str(len(rays.body))


@pytest.mark.parametrize(("size", "status"), [(10_000, 400), (10_001, 413), (50_000, 413)])
def test_a_body_may_be_as_large_as_was_said(replica: Replica, size: int, status: int) -> None:
    """One that can be taken is refused since it is no image."""
    asked = Asked("POST", "/v1/classify", {}, {}, bytes(size), "a:1")
    assert asyncio.run(replica.answer(asked)).status == status
    assert by_proxy(replica, bytes(size), first=10_000).status_code == status


def test_of_a_body_that_says_no_length_not_much_is_kept_beyond_the_limit(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    respond = replica._respond

    def seen(request: Any, body: bytes) -> Any:
        kept.append(len(body))
        return respond(request, body)

    monkeypatch.setattr(replica, "_respond", seen)
    assert by_proxy(replica, bytes(50_000), first=11_000).status_code == 413
    assert kept == [11_000]


@pytest.mark.parametrize(
    ("scope", "peer"),
    [({}, "127.0.0.1:5"), ({"client": None}, ""), ({"client": ("::1", 7)}, "::1:7")],
)
def test_who_asks_by_rays_proxy_is_known(
    replica: Replica, scope: Any, peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers: list[str] = []
    begin = replica.app.begin
    monkeypatch.setattr(
        replica.app, "begin", lambda *given: (peers.append(given[-1]), begin(*given))[1]
    )
    assert by_proxy(replica, _RED, scope=scope).status_code == 200
    assert peers == [peer]


def test_it_may_stand_below_a_path(replica: Replica) -> None:
    below = {"root_path": "/nets"}
    assert by_proxy(replica, _RED, "/nets/v1/classify", scope=below).status_code == 200


def test_settings_come_through_json_and_other_origins_may_read_if_they_say_so(
    tmp_path: Path,
) -> None:
    given = [["", str(colour_bundle(tmp_path / "colours").path), ""]]
    settings = {"allow_origin": ["https://shop.example"], "max_body_bytes": 10_000}
    made = Replica(given, {"preferred_batch_sizes": [2, 4]}, settings)
    assert made.service.settings.allow_origin == ("https://shop.example",)
    assert made._repository.settings.preferred_batch_sizes == (2, 4)
    answer = by_proxy(made, _RED, origin="https://shop.example")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def test_it_looks_for_hangs_as_long_as_it_lives(replica: Replica) -> None:
    assert replica.service.live
    assert any(thread.name == "hangs" and thread.daemon for thread in threading.enumerate())


def test_what_is_queued_has_a_second_when_it_ends() -> None:
    closed: list[float] = []
    made = Replica.__new__(Replica)
    made.__del__()  # one that did not come up has nothing to close
    made._repository = SimpleNamespace(close=closed.append)  # type: ignore[assignment]  # as far as it is asked
    made.__del__()
    assert closed == [1.0]


def test_what_nobody_has_is_the_servers_own_404(replica: Replica) -> None:
    response = by_proxy(replica, b"{}", "/v2/models/nobody/infer")
    assert response.status_code == 404
    assert "there is 'colours'" in json.loads(bytes(response.body))["error"]


def test_a_stream_does_not_go_through_ray(replica: Replica) -> None:
    response = asyncio.run(replica.answer(Asked("GET", "/v1/stats", {}, {}, b"", "a:1")))
    assert response.status == 501


class Stream:
    """Parts of a body, and whether it was let go."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> Any:
        yield b"part"

    async def aclose(self) -> None:
        self.closed = True


def test_a_stream_is_let_go_or_given_to_rays_proxy(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream()

    async def respond(*_: Any) -> Response:
        return Response(200, (("content-type", "text/plain"),), stream=stream)  # type: ignore[arg-type]  # one that tells

    monkeypatch.setattr(replica, "_respond", respond)
    asked = Asked("GET", "/v1/stats", {}, {}, b"", "a:1")
    assert asyncio.run(replica.answer(asked)).status == 501
    assert stream.closed
    given = by_proxy(replica, b"")
    assert (given.status_code, given.body_iterator) == (200, stream)
    assert "content-length" not in given.headers


def test_one_without_a_network_that_runs_is_not_healthy(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.check_health()
    monkeypatch.setattr(ServedModel, "ready", property(lambda _: False))
    with pytest.raises(RuntimeError, match="can run"):
        replica.check_health()


def test_one_that_can_load_nothing_says_why_in_its_text(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    (bundle.path / "model.onnx").write_bytes(b"other")
    with pytest.raises(RuntimeError) as caught:
        Replica([("", str(bundle.path), "")], {}, {})
    found = refusal(f"The deployment failed:\nTraceback\nRuntimeError: {caught.value}\nmore")
    assert isinstance(found, BadInputError)
    assert "model.onnx" in found.message
    assert refusal("something else") is None


def test_models_that_hang_are_looked_for_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[float | str] = []
    own, really = threading.get_ident(), time.sleep

    def sleep(seconds: float) -> None:
        if threading.get_ident() != own:  # the replica above is looked at, too
            really(seconds)
        elif len(done) > 2:
            raise KeyboardInterrupt
        else:
            done.append(seconds)

    batcher = SimpleNamespace(check_hangs=lambda: done.append("looked"))
    made = Replica.__new__(Replica)
    made._repository = SimpleNamespace(  # type: ignore[assignment]  # as far as it is asked
        models=lambda: [SimpleNamespace(batcher=batcher)], close=lambda _: None
    )
    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        made._watch()
    assert done == [0.5, "looked", 0.5, "looked"]


def test_its_counters_are_told_with_its_name(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(replica_id=SimpleNamespace(unique_id="abc"))
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: context)
    name, told = replica.metrics()
    assert name == "abc"
    assert "# TYPE lrn_" in told

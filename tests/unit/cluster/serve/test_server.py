"""How long replicas are waited for, by what Ray Serve says of them; without Ray."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.cluster.serve import application, server
from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.cluster.serve.replica import REFUSED
from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle

WHY = f"RayTaskError: {REFUSED}" + json.dumps(["There is no model.", "Export one."])


class Serve:
    """Ray Serve, which says one thing after the other, each a tenth of a second later.

    What it says of the deployment stands before a ``|``, if it says anything.
    """

    def __init__(self, name: str, *said: tuple[str, str]) -> None:
        self.name = name
        self.said = list(said)
        self.seconds = 100.0

    def status(self) -> Any:
        status, message = self.said.pop(0)
        of_deployment, _, of_application = message.rpartition("|")
        found = SimpleNamespace(
            status=SimpleNamespace(value=status),
            message=of_application,
            deployments={application.NAME: SimpleNamespace(message=of_deployment)},
        )
        return SimpleNamespace(applications={self.name: found} if status else {})

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def lines() -> list[str]:
    return []


def wait(lines: list[str], patch: pytest.MonkeyPatch, *said: tuple[str, str]) -> Serve:
    """Wait for three replicas."""
    replicas = server.Replicas(
        [], ModelSettings(), ServerSettings(), RayOptions(replicas=3), lines.append
    )
    serve = Serve(replicas._name, *said)
    patch.setitem(sys.modules, "ray", SimpleNamespace(serve=serve))
    patch.setattr(server, "time", serve)
    replicas._wait()
    return serve


class Joined(Exception):  # noqa: N818 - it ends the test's way, and is no fault
    """A cluster would be joined now."""


@pytest.mark.parametrize(
    ("options", "cpus"),
    [
        (RayOptions(), 1),
        (RayOptions(replicas=3, replica_cpus=0.5), 1.5),
        (RayOptions(replicas=2, max_replicas=5, replica_cpus=2), 10),
    ],
)
def test_a_cluster_of_our_own_has_room_for_all_replicas(
    options: RayOptions, cpus: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def joined(address: str, *, cpus: float) -> Any:
        raise Joined(address, cpus)

    monkeypatch.setattr(server, "runtime", SimpleNamespace(need=lambda _: None, joined=joined))
    bundle = colour_bundle(tmp_path / "colours")
    with pytest.raises(Joined) as caught:
        server.serve_on_ray(
            [("", str(bundle.path), "")], ModelSettings(), ServerSettings(), options, say=print
        )
    assert caught.value.args == ("", cpus)


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_replicas_end_with_the_server_and_ray_with_them_if_it_is_ours(
    ours: bool, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Any] = []

    class Replicas:
        handle = None

        def __init__(self, *_: Any) -> None:
            pass

        def deploy(self) -> None:
            if fails:
                raise BadInputError("No replica could be started.")

        def end(self, *, everything: bool) -> None:
            done.append(everything)

    async def run(*given: Any) -> int:
        given[-1]({"http": 80})
        return 1

    runtime = SimpleNamespace(need=lambda _: None, joined=lambda *_, **__: nullcontext(ours))
    monkeypatch.setattr(server, "runtime", runtime)
    monkeypatch.setattr(server, "Replicas", Replicas)
    monkeypatch.setattr(server, "run", run)
    given = [("", str(colour_bundle(tmp_path / "colours").path), "")]
    settings, options = ServerSettings(), RayOptions(replicas=3)
    with pytest.raises(BadInputError) if fails else nullcontext():
        assert (
            server.serve_on_ray(
                given, ModelSettings(), settings, options, say=print, on_ready=done.append
            )
            == 1
        )
    ready = {"http": 80, "models": ["colours"], "replicas": 3}
    assert done == ([ours] if fails else [ready, ours])


@pytest.mark.parametrize(("hang", "seconds"), [(30.0, 60.0), (0.0, None)])
def test_the_front_has_the_limits_that_were_set(
    hang: float, seconds: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request may hang at one replica, and once more at the one that it is sent to then."""

    def made(front: Any, host: str, port: int, *, crowd: Any, **_: Any) -> Any:
        raise Joined(front._seconds, host, port, crowd._most, crowd._most_per_peer)

    runtime = SimpleNamespace(need=lambda _: None, joined=lambda *_, **__: nullcontext(True))
    monkeypatch.setattr(server, "runtime", runtime)
    replicas = SimpleNamespace(handle=None, deploy=lambda: None, end=lambda **_: None)
    monkeypatch.setattr(server, "Replicas", lambda *_: replicas)
    monkeypatch.setattr(server, "HttpServer", made)
    checked: list[tuple[str, int]] = []
    monkeypatch.setattr(server, "check_port", lambda *at: checked.append(at))
    given = [("", str(colour_bundle(tmp_path / "colours").path), "")]
    for port in (0, 1):
        settings = ServerSettings(
            host="127.0.0.2", http_port=port, max_connections=9, max_connections_per_peer=4
        )
        with pytest.raises(Joined) as caught:
            server.serve_on_ray(
                given, ModelSettings(hang_seconds=hang), settings, RayOptions(), say=print
            )
        assert caught.value.args == (seconds, "127.0.0.2", port, 9, 4)
    assert checked == [("127.0.0.2", 1)]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (None, "Replaced the replicas."),
        (BadInputError("No.", "Why."), "Error: No. The replicas of before go on."),
        (ValueError("odd"), "Error: the replicas could not be replaced: ValueError('odd')"),
    ],
)
def test_what_became_of_a_replacement_is_told(
    raised: Exception | None, said: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = server.Replicas([], ModelSettings(), ServerSettings(), RayOptions(), lines.append)

    def deploy() -> None:
        assert made._changing.locked()
        if raised:
            raise raised

    monkeypatch.setattr(made, "deploy", deploy)
    made.renew()
    assert lines == ["Replacing the replicas.", said]
    assert not made._changing.locked()


@pytest.mark.parametrize("everything", [True, False])
def test_only_a_ray_of_our_own_is_ended_with_its_replicas(
    everything: bool, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = server.Replicas([], ModelSettings(), ServerSettings(), RayOptions(), lines.append)
    done: list[Any] = []
    serve = SimpleNamespace(shutdown=lambda: done.append("all"), delete=done.append)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(serve=serve))
    made.end(everything=everything)
    assert done == ["all" if everything else made._name]


def test_what_is_deployed_is_ours_alone_and_at_an_absolute_place(
    lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may serve there, too; and a process of Ray's starts in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").mkdir()
    did: list[Any] = []
    monkeypatch.setattr(logging.getLogger("ray.serve"), "level", logging.NOTSET)

    def run_many(targets: list[Any], **told: Any) -> list[str]:
        did.append((*targets, told))
        return ["handle"]

    rays = SimpleNamespace(
        start=lambda **told: did.append(told["proxy_location"]),
        RunTarget=lambda made, **told: (made, told["name"], told["route_prefix"]),
        run_many=run_many,
    )
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(serve=rays))
    monkeypatch.setattr(application, "deployed", lambda *given: given)
    model, settings = ModelSettings(max_queue_requests=5), ServerSettings(drain_seconds=9.0)
    options, bundles = RayOptions(replicas=3), [("a", "net", ""), ("b", "s3://nets/b", "model")]
    kind: Any = object()
    made, other = (
        server.Replicas(bundles, model, settings, options, lines.append, kind) for _ in range(2)
    )
    assert made._name != other._name
    assert made._name.startswith("lrn-server-")
    monkeypatch.setattr(made, "_wait", lambda: did.append("waited"))
    made.deploy()
    placed = [("a", str(tmp_path / "net"), ""), ("b", "s3://nets/b", "model")]
    given = (
        application.arguments(placed, model, settings, options),
        application.fields(model, settings, options),
        kind,
    )
    asked = {"wait_for_applications_running": False}
    assert did == ["Disabled", ((given, made._name, None), asked), "waited"]
    assert made.handle == "handle"
    assert logging.getLogger("ray.serve").level == logging.ERROR  # retries are counted by us


def test_a_server_lives_until_it_is_told_to_end_and_renews_its_replicas_at_sighup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[Any] = []
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(
        asyncio.SelectorEventLoop,
        "add_signal_handler",
        lambda _loop, number, handler: handlers.update({number: handler}),
    )
    runtime = SimpleNamespace(need=did.append, joined=lambda *_, **__: nullcontext(True))
    monkeypatch.setattr(server, "runtime", runtime)
    monkeypatch.setattr(server, "allow_files", lambda: did.append("files"))
    exported = SimpleNamespace(close=lambda: did.append("spans sent"))
    monkeypatch.setattr(server, "spans", SimpleNamespace(start=lambda _say: exported))
    replicas = SimpleNamespace(
        handle=None,
        deploy=lambda: did.append("deployed"),
        renew=lambda: did.append("renewed"),
        end=lambda **_: did.append("ended"),
    )
    monkeypatch.setattr(server, "Replicas", lambda *_: replicas)

    async def run(*given: Any) -> int:
        given[-1]({"http": 80})  # nobody asked to be told
        await handlers[signal.SIGHUP]()
        return 0

    monkeypatch.setattr(server, "run", run)
    given = [("", str(colour_bundle(tmp_path / "colours").path), "")]
    chosen = ModelSettings(), ServerSettings(http_port=0), RayOptions()
    assert server.serve_on_ray(given, *chosen, say=print) == 0
    assert did == ["serve", "files", "deployed", "renewed", "ended", "spans sent"]


def test_an_origin_that_is_none_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "runtime", SimpleNamespace(need=lambda _: None))
    settings = ServerSettings(allow_origin=("no origin",))
    with pytest.raises(BadInputError, match="no origin"):
        server.serve_on_ray([], ModelSettings(), settings, RayOptions(), say=print)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ServerSettings(model_control=True), "--model-control is not possible"),
        (ServerSettings(shared_memory=True), "--shared-memory is not possible"),
        (ServerSettings(metrics_port=0), "--metrics-port is not possible"),
    ],
)
def test_what_needs_models_and_sockets_in_one_process_is_refused(
    settings: ServerSettings, said: str
) -> None:
    with pytest.raises(BadInputError, match=said) as caught:
        server.serve_on_ray([], ModelSettings(), settings, RayOptions(), say=print)
    assert caught.value.hint
    assert ("SIGHUP" in caught.value.hint) is settings.model_control


def test_a_bundle_is_called_as_was_said_or_as_it_says(tmp_path: Path) -> None:
    place = str(colour_bundle(tmp_path / "colours").path)
    assert server._checked(("", place, "")) == "colours"
    assert server._checked(("", place, "model")) == "colours-model"
    assert server._checked(("net", place, "model")) == "net"
    with pytest.raises(BadInputError, match="none"):
        server._checked(("net", place, "none"))


def test_what_comes_up_is_waited_for(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("", ""), ("DEPLOYING", ""), ("UNHEALTHY", "a replica died"), ("RUNNING", "")]
    serve = wait(lines, monkeypatch, *said, ("RUNNING", "left"))
    assert serve.said == [("RUNNING", "left")]
    assert lines == []


@pytest.mark.parametrize("status", ["DEPLOY_FAILED", "UNHEALTHY"])
@pytest.mark.parametrize("said", [WHY, f"{WHY}|it failed"])
def test_the_reason_of_a_replica_that_cannot_load_ends_the_wait(
    lines: list[str], monkeypatch: pytest.MonkeyPatch, status: str, said: str
) -> None:
    with pytest.raises(BadInputError, match=r"There is no model\.") as caught:
        wait(lines, monkeypatch, ("DEPLOYING", ""), (status, said))
    assert caught.value.hint == "Export one."


def test_what_else_ends_a_replica_is_told_by_its_last_line(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInputError, match=r"could be started: out of luck") as caught:
        wait(lines, monkeypatch, ("DEPLOY_FAILED", "Traceback\n  there\nout of luck\n"))
    assert "ray logs" in caught.value.hint
    with pytest.raises(BadInputError, match=r"could be started: Ray Serve does not say why\."):
        wait(lines, monkeypatch, ("DEPLOY_FAILED", ""))


@pytest.mark.parametrize(("looks", "told"), [(190, 0), (210, 1), (900, 1)])
def test_after_twenty_seconds_it_is_said_once_that_room_may_be_missing(
    lines: list[str], monkeypatch: pytest.MonkeyPatch, looks: int, told: int
) -> None:
    wait(lines, monkeypatch, *[("DEPLOYING", "")] * looks, ("RUNNING", ""))
    assert len(lines) == told
    assert all("CPUs or GPUs for 3 of them" in line for line in lines)

"""How long replicas are waited for, by what Ray Serve says of them; without Ray."""

from __future__ import annotations

import json
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
    """Ray Serve, which says one thing after the other, each a tenth of a second later."""

    def __init__(self, name: str, *said: tuple[str, str]) -> None:
        self.name = name
        self.said = list(said)
        self.seconds = 0.0

    def status(self) -> Any:
        status, message = self.said.pop(0)
        found = SimpleNamespace(
            status=SimpleNamespace(value=status),
            message=message,
            deployments={application.NAME: SimpleNamespace(message="")},
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
def test_the_reason_of_a_replica_that_cannot_load_ends_the_wait(
    lines: list[str], monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    with pytest.raises(BadInputError, match=r"There is no model\.") as caught:
        wait(lines, monkeypatch, ("DEPLOYING", ""), (status, WHY))
    assert caught.value.hint == "Export one."


def test_what_else_ends_a_replica_is_told_by_its_last_line(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInputError, match=r"could be started: out of luck") as caught:
        wait(lines, monkeypatch, ("DEPLOY_FAILED", "Traceback\n  there\nout of luck\n"))
    assert "ray logs" in caught.value.hint


@pytest.mark.parametrize(("looks", "told"), [(190, 0), (210, 1), (900, 1)])
def test_after_twenty_seconds_it_is_said_once_that_room_may_be_missing(
    lines: list[str], monkeypatch: pytest.MonkeyPatch, looks: int, told: int
) -> None:
    wait(lines, monkeypatch, *[("DEPLOYING", "")] * looks, ("RUNNING", ""))
    assert len(lines) == told
    assert all("CPUs or GPUs for 3 of them" in line for line in lines)

"""Ray found, started or joined; and what is said where that is not possible."""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.cluster import runtime
from lrn_deploy.errors import BadInputError, DamagedError, LrnDeployError, MissingError


@pytest.mark.parametrize("module", ["ray", "ray.serve", "httptools"])
def test_what_is_not_installed_is_told_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingError, match=f"--engine ray needs {module},") as caught:
        runtime.need("serve")
    assert "pip install" in caught.value.hint
    assert "[ray,serve]" in caught.value.hint


def test_what_reads_images_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingError, match="--engine ray needs fsspec,") as caught:
        runtime.need("data")
    assert "[ray]" in caught.value.hint


def test_nobody_is_told_of_what_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"
    for name in names:
        monkeypatch.delenv(name, raising=False)
    runtime.need("serve")
    assert [os.environ[name] for name in names] == ["0", "0"]


def test_ray_is_kept_on_this_machines_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from ray._private import ray_constants

    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    runtime.stay_on_loopback()
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert ray_constants.ENABLE_RAY_CLUSTER is False


@pytest.mark.parametrize(
    ("address", "stays", "asked"),
    [
        ("127.0.0.1:6379", True, [("127.0.0.1", 6379)]),
        ("[::1]:6379", True, [("::1", 6379)]),
        ("node:6379", False, [("node", 6379)]),
        ("auto", False, []),
        ("ray://node:10001", False, []),
        ("node:x", False, []),
    ],
)
def test_a_cluster_that_is_there_is_asked_briefly_and_joined(
    address: str, stays: bool, asked: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    reached: list[tuple[tuple[str, int], float]] = []
    stayed: list[bool] = []
    told: dict[str, Any] = {}

    def connected(place: tuple[str, int], seconds: float) -> Any:
        reached.append((place, seconds))
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(runtime.socket, "create_connection", connected)
    monkeypatch.setattr(runtime, "stay_on_loopback", lambda: stayed.append(True))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **given: told.update(given))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with runtime.joined(address) as ours:
        assert not ours
    assert reached == [(place, 5.0) for place in asked]
    assert bool(stayed) is stays
    assert told == {"address": address, "logging_level": "ERROR", "log_to_driver": True}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999999"])
def test_an_address_where_nothing_listens_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(runtime, "stay_on_loopback", lambda: None)
    began = time.monotonic()
    with pytest.raises(BadInputError, match=f"at '{address}'") as caught, runtime.joined(address):
        pass
    assert "--ray-address" in caught.value.hint
    assert time.monotonic() - began < 3


def test_what_ray_says_of_a_cluster_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray")

    monkeypatch.setattr(runtime, "stay_on_loopback", lambda: None)

    def init(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease specify one.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(BadInputError) as caught, runtime.joined("auto"):
        pass
    assert caught.value.message == (
        "No Ray cluster can be reached at 'auto': Could not find any running Ray instance."
    )
    with pytest.raises(BadInputError) as caught, runtime.joined(""):
        pass
    assert caught.value.message.startswith("Ray cannot be started on this machine: Could not find")


def test_a_cluster_of_our_own_is_reached_by_this_machine_only_and_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray")
    asked: dict[str, Any] = {}
    stayed: list[bool] = []
    left: list[bool] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **told: asked.update(told))
    monkeypatch.setattr(ray, "shutdown", lambda: left.append(True))
    monkeypatch.setattr(runtime, "stay_on_loopback", lambda: stayed.append(True))
    with runtime.joined("", cpus=1000.5) as ours:
        assert ours
        assert not left
    assert left
    assert stayed
    assert asked["address"] == "local"
    assert asked["num_cpus"] == 1001
    monkeypatch.setattr(runtime.os, "cpu_count", lambda: 0)
    with runtime.joined(""):
        assert asked["num_cpus"] == 1
    assert asked["include_dashboard"] is False


def test_a_cluster_that_is_joined_already_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("left"))
    with runtime.joined("") as ours:
        assert not ours


def test_the_error_of_another_process_is_found_in_what_ray_made_of_it() -> None:
    inner = DamagedError("The file is damaged.")
    outer = RuntimeError("task failed")
    outer.cause = inner  # type: ignore[attr-defined] # as RayTaskError has it
    last = ValueError("dataset failed")
    last.__cause__ = outer
    assert runtime.cause(last, LrnDeployError) is inner
    assert runtime.cause(ValueError("none"), LrnDeployError) is None

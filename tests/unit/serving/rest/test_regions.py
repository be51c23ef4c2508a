"""The paths of shared memory: which region is meant, one or all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.serving.errors import InvalidRequestError, NotFoundError, UnsupportedError
from lrn_deploy.serving.protocol import shared_memory
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest.app import App
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

ROOT = "/v2/systemsharedmemory"
OURS = {"key": "/ours", "offset": 2, "byte_size": 8}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    monkeypatch.setattr(shared_memory, "_FOLDER", tmp_path)
    (tmp_path / "ours").write_bytes(bytes(10))
    settings = ServerSettings(access_log="none", shared_memory=True)
    return Service(Repository(ModelSettings()), settings)


def ask(service: Service, method: str, path: str, content: Any = None) -> Any:
    body = b"" if content is None else json.dumps(content).encode()
    match, route = App(service)._find(method, ROOT + path)
    response = asyncio.run(route.handler(Request(method, ROOT + path, body=body), match))
    return json.loads(response.body) if response.body else None


def test_a_region_is_registered_told_and_forgotten_by_its_name(service: Service) -> None:
    for name in ("a", "b"):
        ask(service, "POST", f"/region/{name}/register", OURS)
    told = [{"name": name, **OURS} for name in ("a", "b")]
    assert ask(service, "GET", "/status") == told
    assert ask(service, "GET", "/region/b/status") == told[1:]
    ask(service, "POST", "/region/a/unregister")
    assert ask(service, "GET", "/status") == told[1:]
    ask(service, "POST", "/unregister")
    assert ask(service, "GET", "/status") == []


def test_what_is_registered_needs_a_name_and_a_key(service: Service) -> None:
    with pytest.raises(NotFoundError, match="/v2/systemsharedmemory/register"):
        ask(service, "POST", "/register", OURS)
    with pytest.raises(InvalidRequestError, match="'key' is missing"):
        ask(service, "POST", "/region/a/register", {"byte_size": 8})
    with pytest.raises(InvalidRequestError, match="got 0 bytes from 2"):
        ask(service, "POST", "/region/a/register", {"key": "/ours", "offset": 2})


def test_a_server_without_shared_memory_has_none_of_it() -> None:
    closed = Service(Repository(ModelSettings()), ServerSettings(access_log="none"))
    for method, path in (
        ("GET", "/status"),
        ("POST", "/unregister"),
        ("POST", "/region/a/register"),
    ):
        with pytest.raises(UnsupportedError, match="switched off"):
            ask(closed, method, path, {})

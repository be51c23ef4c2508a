"""The server against its own description, asked by schemathesis; ``make contract`` asks for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.contract.__main__ import ask
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.service import Service
from lrn_deploy.serving.settings import ModelSettings
from tests.support.image_bundles import colour_bundle
from tests.support.inside import inside

_FEW = "/v2(/models/.model.)?$"


def test_schemathesis_finds_what_is_planted_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # schemathesis is none of ours
    colour_bundle(tmp_path / "colours")
    repository = Repository(ModelSettings(threads=1))
    repository.load(repository.add(tmp_path / "colours", "colours"))
    with inside(repository) as server:
        url = f"http://127.0.0.1:{server.http.port}"
        monkeypatch.setattr(Service, "server", lambda _: {"name": 1})
        told = ask(url, 1, 1, "coverage", _FEW)
    assert told["failures"] == ["Response violates schema: GET /v2"]
    assert told["operations"] == 2
    assert told["requests"] > 10
    repository.close(5)

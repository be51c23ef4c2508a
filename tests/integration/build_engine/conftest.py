from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lrn_deploy.errors import MissingError
from lrn_deploy.tensorrt.flavor import find_flavor
from lrn_deploy.workflows.build_engine import build_engine as workflow
from tests.support.engine_builds import build_in_this_process
from tests.support.engine_graphs import make_bundle
from tests.support.exported import exported
from tests.support.fake_gpu import no_device


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_flavor("rtx")
    except MissingError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(workflow, "find_device", no_device)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    build_in_this_process(monkeypatch)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny").path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported("digits", tmp_path_factory.mktemp("digits") / "digits").path


@pytest.fixture
def digits(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "digits"))

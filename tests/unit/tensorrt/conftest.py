from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrn_deploy.errors import MissingError
from lrn_deploy.tensorrt.flavor import Flavor, find_flavor
from tests.support.fake_gpu import FakeGpu
from tests.unit.tensorrt.sessions import use


@pytest.fixture(scope="module")
def rtx() -> Flavor:
    """TensorRT for RTX, which builds on any machine."""
    try:
        return find_flavor("rtx")
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return use(FakeGpu(), monkeypatch)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What is said to Python's logging, however detailed."""
    messages: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler = logging.getLogger("lrn_deploy.tensorrt"), Kept()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield messages
    logger.setLevel(before)
    logger.removeHandler(handler)

"""Where TensorRT's messages go."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.tensorrt.callbacks import LOG_VARIABLE, make_logger
from lrn_deploy.tensorrt.process import build_in_process
from tests.support.engine_graphs import network
from tests.unit.tensorrt.test_build import ADA


def say(logger: Any, severity: str, message: str) -> None:
    logger.log(SimpleNamespace(name=severity), message)


@pytest.fixture
def errors() -> list[str]:
    return []


@pytest.fixture
def logger(errors: list[str]) -> Any:
    return make_logger(SimpleNamespace(ILogger=object), errors)


def test_every_message_is_appended_to_the_file_that_is_asked_for(
    logger: Any,
    errors: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[str],
) -> None:
    file = tmp_path / "trt.log"
    file.write_text("before\n")
    monkeypatch.setenv(LOG_VARIABLE, str(file))
    say(logger, "VERBOSE", "a tactic")
    say(logger, "ERROR", "no kernel")
    before, *lines = file.read_text().splitlines()
    assert before == "before"
    assert [line.split(" ", 2)[2] for line in lines] == ["VERBOSE a tactic", "ERROR no kernel"]
    assert errors == ["no kernel"]
    assert logged == ["no kernel"]


@pytest.mark.parametrize("file", ["absent/trt.log", "."])
def test_a_file_that_cannot_be_written_breaks_nothing(
    logger: Any,
    errors: list[str],
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / file))
    # Not into what pytest captures: a worker cannot send it to its parent.
    monkeypatch.setattr(logging.getLogger("lrn_deploy.tensorrt"), "disabled", True)
    say(logger, "ERROR", "no kernel \udcff")
    assert errors == ["no kernel \udcff"]


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_a_build_in_its_own_process_writes_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(LOG_VARIABLE, "trt.log")
    build_in_process("rtx", network(), ADA)
    assert " VERBOSE " in Path("trt.log").read_text()

"""The parent of a server: when it starts it again, when it ends it, and when it stops itself."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.serving import supervise
from lrn_deploy.serving.settings import ModelSettings, ServerSettings


class Process:
    """A server's process that never ends by itself."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.signals: list[str] = []

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("server", timeout or 0)
        return self.code

    def terminate(self) -> None:
        self.signals.append("terminate")
        self.code = -15

    def kill(self) -> None:
        self.signals.append("kill")
        self.code = -9


def watched() -> supervise._Watched:
    return supervise._Watched([], {}, ServerSettings())


@pytest.mark.parametrize(
    ("health", "signals"),
    [
        ([None, 503, 200, None, 503, 200, 503, 503, 503], ["terminate"]),
        ([503, 200, 503, None, None], ["kill", "terminate"]),  # it would not hear the other
    ],
)
def test_three_failed_checks_in_a_row_end_a_server_and_no_fewer(
    monkeypatch: pytest.MonkeyPatch, health: list[int | None], signals: list[str]
) -> None:
    one, process, answers = watched(), Process(), iter(health)
    one._process = process  # type: ignore[assignment]
    monkeypatch.setattr(one, "_health", lambda: next(answers))
    assert one.watch() == process.code
    assert process.signals == signals
    assert list(answers) == []


class Line:
    """A server's end of the line on which it is asked how it is, and the parent that asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parent = watched()
        self.parent._line, theirs = socket.socketpair()
        self.live = True
        monkeypatch.setenv(supervise.LINE, str(theirs.detach()))
        monkeypatch.setattr(supervise, "_ANSWER_SECONDS", 0.1)

    async def answer(self, *asked: Any) -> None:
        """Answer while each of some functions runs in a thread."""
        supervise.answer_parent(lambda: self.live)
        for act in asked:
            await asyncio.get_running_loop().run_in_executor(None, act)


def test_a_server_is_asked_how_it_is_and_answers_as_long_as_its_loop_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(monkeypatch)
    told: list[int | None] = []

    def ask() -> None:
        told.append(line.parent._health())

    def fail() -> None:
        line.live = False

    asyncio.run(line.answer(ask, ask, fail, ask))
    assert told == [200, 200, 503]
    assert supervise.LINE not in os.environ  # a child of the server's must not answer for it
    ask()  # nobody is there
    assert told[3:] == [None]


def test_an_answer_that_came_too_late_is_not_taken_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(monkeypatch)
    told: list[int | None] = []

    async def hang() -> None:
        supervise.answer_parent(lambda: line.live)
        loop = asyncio.get_running_loop()
        asking = loop.run_in_executor(None, line.parent._health)
        time.sleep(0.15)  # the loop does not run, and hears the question when it does again
        told.append(await asking)
        await asyncio.sleep(0.02)
        line.live = False
        told.append(await loop.run_in_executor(None, line.parent._health))

    asyncio.run(hang())
    assert told == [None, 503]


def test_a_server_without_a_parent_has_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(supervise.LINE, raising=False)
    supervise.answer_parent(lambda: True)  # outside of any loop: it would fail if it did anything


def test_a_signal_that_comes_while_the_server_starts_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, process = watched(), Process()

    def start(*_command: Any, pass_fds: tuple[int], **_options: Any) -> Process:
        os.write(pass_fds[0], b'{"http_port": 4711}\n')
        one.stop()  # as a handler of SIGTERM would: there is nothing yet that could be told
        assert process.signals == []
        return process

    monkeypatch.setattr(supervise.subprocess, "Popen", start)
    assert one.start() == {"http_port": 4711}
    assert process.signals == ["terminate"]
    assert one.watch() == -15


def test_pauses_double_up_to_half_a_minute_and_start_anew_after_a_long_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [1.0] * 9 + [60.5, 1.0, 1.0]
    now = 0.0
    pauses: list[float] = []
    said: list[str] = []

    class Stopping:
        def is_set(self) -> bool:
            return False

        def wait(self, pause: float) -> bool:
            pauses.append(pause)
            return len(pauses) == len(runs)

    class Watched:
        stopping = Stopping()

        def __init__(self, *_arguments: Any) -> None:
            self.runs = iter(runs)

        def start(self) -> dict[str, int]:
            return {"http_port": 4711}

        def watch(self) -> int:
            nonlocal now
            now += next(self.runs)
            return 7

    monkeypatch.setattr(supervise, "_Watched", Watched)
    monkeypatch.setattr(supervise, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(supervise.signal, "signal", lambda *_: None)
    ready: list[Any] = []
    code = supervise.supervise(
        [], ModelSettings(), ServerSettings(), say=said.append, on_ready=ready.append
    )
    assert code == 7
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5, 1, 2]
    assert said[1] == "The server ended with code 7; starting it again in 1 s."
    assert ready == [{"http_port": 4711}]

"""Stages as processes: each in a group of its own, with a limit, and a reason at its end.

Only the standard library: this must run where nothing else does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

State = Literal["passed", "failed", "timed out", "crashed", "not run"]

_POLL_SECONDS = 0.05
_LEAST_SECONDS = 5.0
"""With less time left a stage is not begun."""


@dataclass(frozen=True)
class Stage:
    """One thing to check.

    Attributes:
        name: Its name, and that of its result file.
        command: What to run.
        limit: Seconds after which it is killed, with all that it started.
        background: Goes on while later stages run.
        after: Stages that must have ended before, however they did.
    """

    name: str
    command: tuple[str, ...]
    limit: float
    background: bool = False
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        name: Its name.
        state: How.
        reason: Why it did not pass, in one sentence; empty if it did.
        exit_code: Of its process; negative for a signal, None if it was not begun.
        seconds: Wall-clock time that it took.
    """

    name: str
    state: State
    reason: str
    exit_code: int | None
    seconds: float


class _Running:
    """A stage's process."""

    def __init__(self, stage: Stage, limit: float, log: Path, cwd: Path) -> None:
        self.stage = stage
        self.limit = limit
        self.log = log
        self._file: IO[bytes] = log.open("wb")
        self._start = time.monotonic()
        self._process = subprocess.Popen(
            stage.command, stdout=self._file, stderr=self._file, cwd=cwd, start_new_session=True
        )

    def ended(self) -> Outcome | None:
        """How it ended, or None while it goes on."""
        code = self._process.poll()
        seconds = time.monotonic() - self._start
        if code is None and seconds < self.limit:
            return None
        self.kill()
        name = self.stage.name
        if code is None:
            reason = f"it was killed at its limit of {self.limit:.0f} s"
            return Outcome(name, "timed out", reason, self._process.returncode, seconds)
        if code < 0:
            reason = f"it crashed: {signal.Signals(-code).name}"
            return Outcome(name, "crashed", reason, code, seconds)
        if code:
            return Outcome(name, "failed", _last_line(self.log), code, seconds)
        return Outcome(name, "passed", "", code, seconds)

    def kill(self) -> None:
        """End the process and whatever is left of its group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._file.close()


def run_stages(
    stages: Sequence[Stage],
    seconds: float,
    logs: Path,
    cwd: Path,
    on_end: Callable[[Outcome], None],
) -> None:
    """Run stages in their order, those in the background beside the others.

    Args:
        stages: What to run.
        seconds: When this time is over, what runs is killed and nothing more begins.
        logs: Folder for what the stages print, a file each.
        cwd: Where they run.
        on_end: Told of each stage as it ends, or cannot begin.
    """
    until = time.monotonic() + seconds
    waiting = list(stages)
    running: list[_Running] = []
    with _killing(running):
        while waiting or running:
            for stage in _ready(waiting, running):
                waiting.remove(stage)
                left = until - time.monotonic()
                if left < _LEAST_SECONDS:
                    on_end(Outcome(stage.name, "not run", "no time was left", None, 0.0))
                    continue
                try:
                    running.append(
                        _Running(stage, min(stage.limit, left), logs / f"{stage.name}.log", cwd)
                    )
                except OSError as error:
                    reason = f"it could not be started: {error.strerror or error}"
                    on_end(Outcome(stage.name, "not run", reason, None, 0.0))
            for item in list(running):
                outcome = item.ended()
                if outcome is not None:
                    running.remove(item)
                    on_end(outcome)
            time.sleep(_POLL_SECONDS)


def _ready(waiting: Sequence[Stage], running: Sequence[_Running]) -> list[Stage]:
    """Stages that can begin: one in the foreground at a time, after those it must come after."""
    open_names = {stage.name for stage in waiting} | {item.stage.name for item in running}
    busy = any(not item.stage.background for item in running)
    found = []
    for stage in waiting:
        if open_names & set(stage.after) or (busy and not stage.background):
            if not stage.background:
                break  # the order holds
            continue
        found.append(stage)
        busy = busy or not stage.background
    return found


@contextmanager
def _killing(running: list[_Running]) -> Iterator[None]:
    """End what still runs, whatever happens, also when this process is told to end."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for item in running:
            item.kill()


def _last_line(log: Path) -> str:
    """What a stage said last."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "it failed, and its log cannot be read"
    return lines[-1][:300] if lines else "it failed, and said nothing"

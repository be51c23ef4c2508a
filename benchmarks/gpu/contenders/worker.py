"""The two ends of a contender: the process that times when it is asked, and the one that asks.

Lines of JSON go through pipes: first what is ready and what is not, then for each question
``{"name": …, "batch": …, "what": "device"}`` an answer ``{"seconds": …}`` or ``{"error": …}``.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.gpu.record import StageOptions

What = Literal["device", "end to end"]
CALLS = 20
"""Runs between two events on the device."""
PREPARE_SECONDS = 70.0
"""After so long no further candidate is made, so that those that were can take part."""


@dataclass(frozen=True)
class Candidate:
    """One way to run the network at one batch size.

    Attributes:
        name: What it is.
        precision: What it computes in.
        batch: Its batch size.
        device: Seconds of the device for one run, from events around :data:`CALLS` of them.
        end_to_end: Runs once from arrays in host memory to arrays in host memory, and returns only
            when it is done; None where that would be the same as another candidate's.
    """

    name: str
    precision: str
    batch: int
    device: Callable[[], float]
    end_to_end: Callable[[], object] | None = None


@dataclass
class Ready:
    """What a contender has made, and why it could not make the rest."""

    candidates: list[Candidate] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    until: float = field(default_factory=lambda: time.monotonic() + PREPARE_SECONDS)

    def add(self, name: str, batch: int, make: Callable[[], Candidate]) -> None:
        """Make a candidate and time it once, or keep the reason why that does not work."""
        if time.monotonic() > self.until:
            self.not_run[f"{name}, batch {batch}"] = "no time was left to prepare it"
            return
        try:
            candidate = make()
            candidate.device()
            if candidate.end_to_end is not None:
                candidate.end_to_end()
        except Exception as error:  # each runtime has exceptions of its own
            self.not_run[f"{name}, batch {batch}"] = f"{type(error).__name__}: {error}"[:500]
        else:
            self.candidates.append(candidate)


def answer(prepare: Callable[[StageOptions], Ready], options: StageOptions) -> int:
    """Prepare, then answer questions until there are no more."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print what they like; the pipe is for answers
    ready = prepare(options)
    by_key = {(item.name, item.batch): item for item in ready.candidates}
    names = [
        {
            "name": item.name,
            "precision": item.precision,
            "batch": item.batch,
            "end_to_end": item.end_to_end is not None,
        }
        for item in ready.candidates
    ]
    _say(replies, {"ready": names, "not_run": ready.not_run, "facts": ready.facts})
    for line in sys.stdin:
        question = json.loads(line)
        candidate = by_key[question["name"], question["batch"]]
        try:
            if question["what"] == "device":
                seconds = candidate.device()
            else:
                assert candidate.end_to_end is not None
                start = time.perf_counter()
                candidate.end_to_end()
                seconds = time.perf_counter() - start
        except Exception as error:  # as above
            _say(replies, {"error": f"{type(error).__name__}: {error}"[:500]})
        else:
            _say(replies, {"seconds": seconds})
    return 0


class Contender:
    """A contender's process, seen from the one that asks.

    Args:
        module: The module that prepares it.
        arguments: Its command line.
        env: Variables beside those there are.
    """

    def __init__(self, module: str, arguments: Iterable[str], env: dict[str, str]) -> None:
        self.name = module
        self.ready: dict[str, Any] = {}
        self.trouble = ""
        self._buffer = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.gpu.contenders.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | env,
        )

    def wait_ready(self, until: float) -> bool:
        """Whether it is ready before the monotonic time ``until``; else it is ended."""
        self.ready = self._read(until) or {}
        return bool(self.ready)

    def ask(self, name: str, batch: int, what: What, seconds: float = 20.0) -> float | None:
        """Seconds that a run took, or None: the candidate failed, or the process ended."""
        if self.trouble:
            return None
        assert self._process.stdin is not None
        line = json.dumps({"name": name, "batch": batch, "what": what}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError:
            self.trouble = f"{self.name} ended with {self._process.poll()}"
            return None
        reply = self._read(time.monotonic() + seconds) or {}
        found = reply.get("seconds")
        return float(found) if found is not None else None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self, until: float) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self.trouble = f"{self.name} did not answer in time"
                self.close()
                return None
            part = os.read(pipe, 1 << 16)
            if not part:
                self._process.wait()
                self.trouble = f"{self.name} ended with {self._process.returncode}"
                return None
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\n", 1)
        return dict(json.loads(line))


def _say(replies: Any, content: dict[str, Any]) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()

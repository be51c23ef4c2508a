"""A small parent that starts the server again when it has died, or is not live any more."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from lrn_deploy.serving.settings import ModelSettings, ServerSettings

REPORT = "LRN_SERVER_REPORT_FD"
"""Environment variable: where a supervised server writes its ports once it is ready."""

LINE = "LRN_SERVER_LINE_FD"
"""And the socket on which it is asked whether it is live. It needs no port, no certificate, no key
and no further descriptor, so that it answers also where there is none left."""

_CHECK_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_PATIENCE = 3  # checks in a row that may fail
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 60.0  # after so long a run, the pauses start anew
Say = Callable[[str], None]
Ports = dict[str, Any]


def supervise(
    bundles: Sequence[str],
    model_settings: ModelSettings,
    settings: ServerSettings,
    *,
    say: Say,
    on_ready: Callable[[Ports], None] | None = None,
) -> int:
    """Run the server in a process of its own, again and again, until SIGTERM or SIGINT.

    A server that ends before it was ever ready has been told something impossible: that is not
    tried again.

    Args:
        bundles: As the command line has them.
        model_settings: How each is run and queued.
        settings: How the server is reached and how it ends.
        say: Prints a line for people.
        on_ready: Called with the ports and models, the first time that requests are answered.

    Returns:
        The last server's exit code.
    """
    environment = {
        f"LRN_SERVER_{name.upper()}": " ".join(map(str, value))
        if isinstance(value, tuple)
        else str(value)
        for name, value in (asdict(model_settings) | asdict(settings)).items()
    }
    watched = _Watched(bundles, environment, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watched.stop())
    pause = _FIRST_PAUSE_SECONDS
    ever_ready = False
    while True:
        started = time.monotonic()
        ports = watched.start()
        if ports and not ever_ready:
            ever_ready = True
            if on_ready is not None:
                on_ready(ports)
        code = watched.watch() if ports else watched.end()
        if watched.stopping.is_set() or not ever_ready:
            return code
        if time.monotonic() - started > _STABLE_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        say(f"The server ended with code {code}; starting it again in {pause:g} s.")
        if watched.stopping.wait(pause):
            return code
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class _Watched:
    """The server's process."""

    def __init__(
        self, bundles: Sequence[str], environment: dict[str, str], settings: ServerSettings
    ) -> None:
        self.stopping = threading.Event()
        self._bundles = bundles
        self._environment = environment
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: Ports = {}
        self._line, _ = socket.socketpair()

    def start(self) -> Ports:
        """Start it and wait until it is ready; empty if it ended before."""
        report, write = os.pipe()
        self._line.close()
        self._line, theirs = socket.socketpair()
        told = {REPORT: str(write), LINE: str(theirs.fileno())}
        try:
            self._process = subprocess.Popen(
                [*_command(), *self._bundles, "--no-supervise"],
                env={**os.environ, **self._environment, **told},
                pass_fds=(write, theirs.fileno()),
                start_new_session=True,  # Ctrl-C reaches it through us only
            )
        finally:
            os.close(write)
            theirs.close()
        with os.fdopen(report, "rb") as stream:
            text = stream.readline()
        self._ports = json.loads(text) if text else {}
        for name in ("http_port", "grpc_port", "metrics_port"):
            if self._ports.get(name):  # the same ports again after a restart
                self._environment[f"LRN_SERVER_{name.upper()}"] = str(self._ports[name])
        if self.stopping.is_set():
            self.stop()
        return self._ports

    def watch(self) -> int:
        """Look after it until it ends, or is ended for not being live; returns its code."""
        assert self._process is not None
        failed = 0
        health: int | None = 200
        while failed < _PATIENCE:
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(_CHECK_SECONDS)
            health = self._health()
            failed = 0 if self.stopping.is_set() or health == 200 else failed + 1
        return self.end(hanging=health is None)

    def end(self, *, hanging: bool = False) -> int:
        """End it, by force if need be; returns its code.

        Args:
            hanging: It answers nothing, so it would not hear either that it is to finish.
        """
        assert self._process is not None
        if hanging:
            self._process.kill()
        self._process.terminate()
        try:
            limit = self._settings.pre_drain_seconds + self._settings.drain_seconds + 5
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def stop(self) -> None:
        """Tell it to stop for good."""
        self.stopping.set()
        if self._process is not None:
            self._process.terminate()

    def _health(self) -> int | None:
        """200 if it is live, 503 if not; None if it does not answer."""
        line = self._line
        try:
            with suppress(BlockingIOError):
                line.setblocking(False)
                line.recv(64)  # what came too late
            line.settimeout(_ANSWER_SECONDS)
            line.send(b"?")
            return {b"1": 200, b"0": 503}.get(line.recv(1))
        except OSError:
            return None


def answer_parent(live: Callable[[], bool]) -> None:
    """In the server: answer the parent, if there is one, for as long as the event loop runs."""
    descriptor = os.environ.pop(LINE, "")
    if not descriptor.isdecimal():
        return
    line = socket.socket(fileno=int(descriptor))
    line.setblocking(False)
    loop = asyncio.get_running_loop()

    def answer() -> None:
        with suppress(OSError):
            if line.recv(64):
                line.send(b"1" if live() else b"0")
                return
        loop.remove_reader(line)
        line.close()

    loop.add_reader(line, answer)


def report(ports: Mapping[str, Any]) -> None:
    """In the server: tell the parent, if there is one, that requests are answered."""
    descriptor = os.environ.pop(REPORT, "")
    if descriptor.isdecimal() and select.select([], [int(descriptor)], [], 0)[1]:
        with os.fdopen(int(descriptor), "w") as stream:
            stream.write(json.dumps(ports) + "\n")


def frozen() -> bool:
    """Whether this is the single executable file."""
    return bool(getattr(sys, "frozen", False))


def _command() -> list[str]:
    return [sys.executable] if frozen() else [sys.executable, "-m", "lrn_deploy.lrn_server"]

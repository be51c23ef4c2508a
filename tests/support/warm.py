"""Servers forked from one process that has imported what a server imports.

A server spends all but a tenth of its start on imports, and the tests start a hundred of them.
:class:`Warmed` is a ``Popen`` that leaves out the new interpreter and nothing else: what it starts
is a child of this process, with the pipes, folder, environment, arguments, end and coverage of one
that was started.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.support.forked import REAL, TAKES, Forked, is_alone, measure

_SERVER = "lrn_deploy.lrn_server"
_IMPORTED = (
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "coverage",
    "encodings.idna",
    "grpc._server",
    "lrn_deploy.backends.onnxruntime",
    "lrn_deploy.cli.serve",
    "lrn_deploy.serving.grpc.server",
    "lrn_deploy.serving.http.server",
    "lrn_deploy.serving.rest.app",
    "lrn_deploy.serving.server",
    "onnxruntime",
)
_READ_EARLY = ("PYTHON", "LD_", "OMP_", "OPENBLAS_", "PYDANTIC_")
"""How variables begin that are read before a server is."""
_ELSE = ("shell", "executable", "preexec_fn", "pass_fds", "uid", "gid", "gids")
"""What ``Popen`` can be asked for, and a fork cannot do."""
_SUBREAPER = 36
_MESSAGE = 1 << 17
_READY = b"all is imported"


class Warmed(REAL):  # type: ignore[misc]  # a class that mypy is not to know as this one
    """``python -c CODE`` or ``python -m MODULE``, forked; all else is started."""

    def _execute_child(self, *given: Any) -> None:
        asked = TAKES.bind(self, *given).arguments
        env = dict(os.environ if asked["env"] is None else asked["env"])
        if not (self.forks(asked) and _warm().forks and _early(env) == _warm().early):
            super()._execute_child(*given)
            return
        pipes = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        message = {
            "words": list(map(str, asked["args"][1:])),
            "cwd": str(asked["cwd"] or Path.cwd()),
            "env": env,
            "session": asked["start_new_session"],
        }
        files = [own if pipe == -1 else pipe for own, pipe in enumerate(pipes)]
        self.pid = _warm().fork(message, files)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in ends))

    @staticmethod
    def forks(asked: dict[str, Any]) -> bool:
        """Whether what ``Popen`` is given can be forked."""
        words = asked["args"]
        return (
            isinstance(words, list)
            and len(words) > 2
            and words[0] == sys.executable
            and words[1] in ("-c", "-m")
            and not any(asked[name] for name in _ELSE)
        )


class WarmedServers(Warmed):
    """The same of what names the server; it can take ``subprocess.Popen``'s place."""

    @staticmethod
    def forks(asked: dict[str, Any]) -> bool:
        """Whether it is one of ours, and can be forked."""
        return Warmed.forks(asked) and _SERVER in asked["args"][2]


def _early(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_EARLY)}


@functools.cache
def _warm() -> _Warm:
    return _Warm()


class _Warm:
    """The warm process, as seen from this one."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self.early = _early(dict(os.environ))
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
        env.pop("COVERAGE_PROCESS_CONFIG", None)  # what it forks is measured
        self._process = REAL(
            [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=env,
            cwd=Path(__file__).parents[2],
        )
        theirs.close()
        self.forks = self._line.recv(_MESSAGE) == _READY
        atexit.register(self._end)

    def fork(self, message: dict[str, Any], files: list[int]) -> int:
        """The new process, whose standard files these are."""
        prctl = ctypes.CDLL(None).prctl
        with self._lock:
            prctl(_SUBREAPER, 1, 0, 0, 0)  # who loses its parent now becomes our child
            try:
                socket.send_fds(self._line, [json.dumps(message).encode()], files)
                pid = int(self._line.recv(_MESSAGE))
                assert self._line.recv(_MESSAGE) == b"its parent has ended"
            finally:
                prctl(_SUBREAPER, 0, 0, 0, 0)
        return pid

    def _end(self) -> None:
        self._line.close()
        self._process.wait()


def _forks(line: socket.socket) -> dict[str, Any] | None:
    """Fork what is asked for until nobody asks any more; in a fork, what that is."""
    while True:
        text, files, _, _ = socket.recv_fds(line, _MESSAGE, 3)
        if not text:
            return None
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child:
                line.send(str(child).encode())
                os._exit(0)
            line.close()
            for target, file in enumerate(files):
                os.dup2(file, target)
                os.close(file)
            return dict(json.loads(text))
        for file in files:
            os.close(file)
        os.waitpid(between, 0)
        line.send(b"its parent has ended")


def _become(words: list[str], cwd: str, env: dict[str, str], session: bool) -> None:
    """Be a process that was started so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = "" if words[0] == "-c" else cwd
    Forked.wanted = staticmethod(lambda module: module == _SERVER)  # of one that is supervised
    subprocess.Popen = Forked  # type: ignore[misc]  # its place is taken
    measure()
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, and fork for as long as somebody asks."""
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who is tested, and for pytest
    gc.collect()
    gc.freeze()  # no fork's collector copies what all of them share
    line = socket.socket(fileno=int(sys.argv[1]))
    if is_alone():  # where an import starts a thread, servers are started
        line.send(_READY)
        asked = _forks(line)
        if asked is not None:
            _become(**asked)


if __name__ == "__main__":
    main()

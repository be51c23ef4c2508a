"""``python -m MODULE`` forked from a process that has imported already what the module needs.

A process of the GPU check spends three seconds of its five on the imports of PyTorch, ONNX Runtime
and this package. :class:`Forked` is a ``Popen`` that leaves out the new interpreter and nothing
else: session, pipes, folder, environment, arguments, exit code and signals are those of a process
that was started.
"""

from __future__ import annotations

import atexit
import inspect
import os
import runpy
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, ClassVar

REAL: Any = subprocess.Popen
TAKES = inspect.signature(REAL._execute_child)


class Forked(REAL):  # type: ignore[misc]  # a class that mypy is not to know as this one
    """A process that is forked where :attr:`wanted` says so, and started otherwise."""

    wanted: ClassVar[Callable[[str], bool]]

    def _execute_child(self, *given: Any) -> None:
        asked = TAKES.bind(self, *given).arguments
        words = list(map(str, asked["args"])) if not isinstance(asked["args"], str) else []
        if words[:2] != [sys.executable, "-m"] or not type(self).wanted(words[2]) or not is_alone():
            super()._execute_child(*given)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(words[2], words[3:], asked)
        self._child_created = True
        ends = ("p2cread", "p2cwrite"), ("c2pwrite", "c2pread"), ("errwrite", "errread")
        for theirs, ours in ends:
            if asked[theirs] != -1 and asked[ours] != -1:
                os.close(asked[theirs])


def is_alone() -> bool:
    """Whether this process has one thread only, as a fork of it would have."""
    return len(list(Path("/proc/self/task").iterdir())) == 1


def measure() -> None:
    """In a fork: measure coverage if that is asked for; what was measured before is not ours."""
    coverage: Any = sys.modules.get("coverage")
    if coverage is None:
        return
    before = coverage.Coverage.current()
    if before is not None:
        before._auto_save = False
        before.stop()
    coverage.process_startup(force=True)


def _become(module: str, arguments: list[str], asked: dict[str, Any]) -> None:
    """Be the new process, to its end."""
    code = 1
    try:
        if asked["start_new_session"]:
            os.setsid()
        for name, target in (("p2cread", 0), ("c2pwrite", 1), ("errwrite", 2)):
            if asked[name] != -1:
                os.dup2(asked[name], target)
        _close_pipes(asked["pass_fds"])
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, for good
        if asked["cwd"] is not None:
            os.chdir(asked["cwd"])
        if asked["env"] is not None:
            os.environ.clear()
            os.environ.update(asked["env"])
        measure()
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _close_pipes(kept: Collection[int]) -> None:
    """Those of other children, which an ``exec`` would have closed."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - closed while they are listed
        if int(name) > 2 and int(name) not in kept:
            try:
                mode = os.fstat(int(name)).st_mode
            except OSError:  # of the list itself
                continue
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                os.close(int(name))

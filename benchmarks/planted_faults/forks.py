"""pytest again and again, each time in a fork of a process that has imported what takes long.

``python -m benchmarks.planted_faults.forks MODULE…`` imports modules, reads lines of JSON,
``[arguments, seconds]``, and answers each with pytest's exit code, or -1 if none came in time.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time


def main() -> None:
    """Answer lines until there are no more."""
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    for line in iter(sys.stdin.readline, ""):
        arguments, seconds = json.loads(line)
        child = os.fork()
        if not child:
            os.setsid()
            os.dup2(silence, 0)
            import pytest

            code = 3
            try:
                code = int(pytest.main(arguments))
            finally:
                os._exit(code)  # whatever threads a fault has left
        answers.write(f"{_wait(child, seconds)}\n")
        answers.flush()


def _wait(child: int, seconds: float) -> int:
    """The exit code of a child; -1, and an end to all it has started, if it does not come."""
    limit = time.monotonic() + seconds
    pause = 0.01
    code = -1
    while time.monotonic() < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code == -1:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    return code


if __name__ == "__main__":
    main()

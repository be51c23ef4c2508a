"""What TensorRT calls back: a logger, a progress monitor and a profiler.

Their base classes come from whichever TensorRT is given, so the classes are made when needed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

LOG_VARIABLE = "LRN_DEPLOY_TENSORRT_LOG"
"""The environment variable with the name of a file to which every message is appended."""

_log = logging.getLogger("lrn_deploy.tensorrt")
_log.addHandler(logging.NullHandler())  # silent unless the application listens
# The base classes below come from whichever TensorRT is installed, so mypy sees them as Any.
_LEVELS = {"INFO": logging.DEBUG, "WARNING": logging.INFO}


def make_logger(trt: Any, errors: list[str]) -> Any:
    """A logger that passes messages on to Python's and collects errors in ``errors``.

    Verbose ones, thousands in a build, go only to the file that :data:`LOG_VARIABLE` names.
    """
    base: Any = trt.ILogger

    class Logger(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            name = str(severity.name)
            _append(name, message)
            if name == "VERBOSE":
                return
            if "ERROR" in name:
                errors.append(message)
            _log.log(_LEVELS.get(name, logging.WARNING), "%s", message)

    return Logger()


def _append(severity: str, message: str) -> None:
    file = os.environ.get(LOG_VARIABLE)
    if not file:
        return
    line = f"{datetime.now().isoformat()} {os.getpid()} {severity} {message}\n"
    # Opened each time: several processes append, and any may end without closing it. Whatever goes
    # wrong must not be raised into the C++ frames of the caller.
    with suppress(Exception), Path(file).open("a", encoding="utf-8", errors="replace") as log:
        log.write(line)


def make_monitor(trt: Any, on_step: Callable[[str, int, int], bool]) -> Any:
    """A progress monitor; see :meth:`lrn_deploy.tensorrt.flavor.Flavor.monitor`."""
    base: Any = trt.IProgressMonitor

    class Monitor(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.totals: dict[str, int] = {}

        def phase_start(self, name: str, _parent: str | None, steps: int) -> None:
            self.totals[name] = steps

        def phase_finish(self, _name: str) -> None:
            pass

        def step_complete(self, name: str, step: int) -> bool:
            return on_step(name, step + 1, self.totals.get(name, step + 1))

    return Monitor()


def make_profiler(trt: Any, report: Callable[[str, float], None]) -> Any:
    """A profiler; see :meth:`lrn_deploy.tensorrt.flavor.Flavor.profiler`."""
    base: Any = trt.IProfiler

    class Profiler(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            report(layer_name, ms)

    return Profiler()

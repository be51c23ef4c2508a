"""What TensorRT calls back: a logger, a progress monitor and a profiler.

Their base classes come from whichever TensorRT is given, so the classes are made when needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger("lrn_deploy.tensorrt")
_log.addHandler(logging.NullHandler())  # silent unless the application listens
# The base classes below come from whichever TensorRT is installed, so mypy sees them as Any.
_LEVELS = {"INFO": logging.DEBUG, "WARNING": logging.INFO}


def make_logger(trt: Any, errors: list[str]) -> Any:
    """A logger that passes messages on to Python's and collects errors in ``errors``."""
    base: Any = trt.ILogger

    class Logger(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            name = str(severity.name)
            if name == "VERBOSE":
                return
            if "ERROR" in name:
                errors.append(message)
            _log.log(_LEVELS.get(name, logging.WARNING), "%s", message)

    return Logger()


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

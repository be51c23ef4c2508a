"""Coverage's tracer set aside where only the Python of other libraries runs.

Under a tracer the interpreter takes twice its time for every line, measured or not, and PyTorch's
exporter, Triton's interpreter and Hypothesis are a great many lines, none of them ours.

The tracer keeps a stack of the functions that it has seen begin. It is right again afterwards only
if the function that sets the tracer aside is the one that puts it back: no context manager can.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from _pytest.assertion.rewrite import AssertionRewritingHook


def set_aside(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose work is not traced."""

    @functools.wraps(function)
    def untraced(*arguments: Any, **named: Any) -> Any:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*arguments, **named)
        finally:
            sys.settrace(tracer)

    # A traceback that ends in a library is to show no line of a user's, as this would pass for one.
    untraced.__code__ = untraced.__code__.replace(co_filename="<untraced>")
    untraced.untraced = True  # type: ignore[attr-defined]  # a mark of ours on a function
    return untraced


def traced_by(tracer: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, traced although its caller is not."""

    @functools.wraps(function)
    def traced(*arguments: Any, **named: Any) -> Any:
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            return function(*arguments, **named)
        finally:
            sys.settrace(before)

    return traced


def import_under(tracer: Any) -> None:
    """Trace the project's modules, of what the main thread imports from now on, and no others."""
    if tracer is not None:
        for loader in (SourceFileLoader, AssertionRewritingHook):
            loader.exec_module = _under(tracer, loader.exec_module)  # type: ignore[attr-defined]  # importlib lets it be


def _under(tracer: Any, run: Callable[[Any, ModuleType], None]) -> Callable[..., None]:
    def exec_module(loader: Any, module: ModuleType) -> None:
        before = sys.gettrace()
        if threading.current_thread() is threading.main_thread():
            ours = module.__name__.partition(".")[0] in ("lrn_deploy", "benchmarks", "tests")
            sys.settrace(tracer if ours else None)
        try:
            run(loader, module)
        finally:
            sys.settrace(before)

    # No traceback shows importlib's own lines, and so none shows these.
    file = "<frozen importlib._bootstrap_external>"
    exec_module.__code__ = exec_module.__code__.replace(co_filename=file)
    return exec_module

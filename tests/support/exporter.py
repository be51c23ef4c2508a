"""PyTorch's exporter, as tests have it: its table made once a process, and its work not traced.

``torch.onnx.export`` makes its table of ONNX operators anew each time, for which it reads and
parses the source of 1,500 functions: four fifths of the export of a small network, and a process of
tests makes hundreds.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from tests.support.tracing import set_aside

_REGISTRATION = "torch.onnx._internal.exporter._registration"


def make_its_table_once() -> None:
    """Let every export have a copy of the first one's table, once the exporter is loaded."""
    registration: Any = sys.modules.get(_REGISTRATION)
    if registration is None or hasattr(registration.ONNXRegistry, "made_once"):
        return
    registry = registration.ONNXRegistry
    make = functools.cache(registry.from_torchlib)

    def copied(*arguments: Any, **named: Any) -> Any:
        made, mine = make(*arguments, **named), registry()
        mine._opset_version = made._opset_version
        # Functions of a network's own are put into these lists.
        mine.functions = {target: list(found) for target, found in made.functions.items()}
        return mine

    registry.from_torchlib = staticmethod(copied)
    registry.made_once = True


def leave_it_untraced() -> None:
    """Let it capture and translate without a tracer, once it is loaded."""
    for name in ("export", "onnx"):
        library: Any = sys.modules.get(f"torch.{name}")
        if library is not None and not hasattr(library.export, "untraced"):
            library.export = set_aside(library.export)

"""PyTorch's exporter, as tests have it: its tables made once a process, and its work not traced.

``torch.onnx.export`` makes its table of ONNX operators anew each time, for which it reads and
parses the source of 1,500 functions: four fifths of the export of a small network. Of what is left,
a quarter goes into asking each operator of PyTorch whether it is to be taken apart, and into saying
so to each. A process of tests exports hundreds of networks.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.tracing import set_aside

_REGISTRATION = "torch.onnx._internal.exporter._registration"


def make_its_tables_once() -> None:
    """Let every export have copies of the same tables, once the exporter is loaded or will be."""
    if "lrn_deploy.export.capture" in sys.modules:
        importlib.import_module(_REGISTRATION)
    registration: Any = sys.modules.get(_REGISTRATION)
    if registration is None or hasattr(registration.ONNXRegistry, "made_once"):
        return
    registration.ONNXRegistry.made_once = True
    _operators_of_onnx(registration.ONNXRegistry)
    _operators_of_pytorch()
    _register_briefly()


def _operators_of_onnx(registry: Any) -> None:
    usual = inspect.signature(registry.from_torchlib).parameters["opset_version"].default
    in_full = registry.from_torchlib.__func__

    class OfAnyOpset(registry):  # type: ignore[misc]  # a class, though of any type
        def _cleanup_registry_based_on_opset_version(self) -> None:
            """Leave all of them."""

    make = functools.cache(lambda: in_full(OfAnyOpset))

    def copied(opset_version: int = usual) -> Any:
        mine = registry()
        mine._opset_version = opset_version
        # Functions of a network's own are put into these lists.
        mine.functions = {target: list(found) for target, found in make().functions.items()}
        mine._cleanup_registry_based_on_opset_version()
        return mine

    registry.from_torchlib = staticmethod(copied)


def _operators_of_pytorch() -> None:
    """Which are made of others, and which the exporter takes apart; no test registers its own."""
    from torch._export import utils
    from torch.export import decomp_utils, exported_program
    from torch.onnx._internal.exporter import _decomp

    composed: Any = functools.cache(utils._collect_all_valid_cia_ops)
    for user in (utils, decomp_utils, exported_program):
        user._collect_all_valid_cia_ops = composed  # type: ignore[attr-defined]  # imported there
    taken_apart = functools.cache(_decomp.create_onnx_friendly_decomposition_table)

    def copied(known: Iterable[Any]) -> dict[Any, Callable[..., Any]]:
        return dict(taken_apart(frozenset(known)))  # type: ignore[arg-type]  # hashable

    _decomp.create_onnx_friendly_decomposition_table = copied


def _register_briefly() -> None:
    """Give an operator its kernel for a key, of which an export gives 5,700, with fewer words."""
    from torch import _ops

    in_full = _ops.OperatorBase.py_impl

    def py_impl(operator: Any, key: Any) -> Callable[..., Any]:
        def give(kernel: Any) -> Any:
            plain = isinstance(key, _ops.DispatchKey) and key != _ops.DispatchKey.Python
            if not plain or key in operator.py_kernels:
                return in_full(operator, key)(kernel)
            operator.py_kernels[key] = kernel
            operator._dispatch_cache.clear()
            return kernel

        return give

    _ops.OperatorBase.py_impl = py_impl  # type: ignore[method-assign]  # on purpose


def leave_it_untraced() -> None:
    """Let it capture and translate without a tracer, once it is loaded."""
    for name in ("export", "onnx"):
        library: Any = sys.modules.get(f"torch.{name}")
        if library is not None and not hasattr(library.export, "untraced"):
            library.export = set_aside(library.export)

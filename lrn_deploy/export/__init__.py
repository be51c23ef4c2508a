"""From PyTorch to the canonical ONNX graph, with every LRN kept whole where that is right.

Each name is imported when it is first used: the command line reads the options of an export for its
help, and need not wait for ONNX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrn_deploy.export.bundle import current_bundle, export_bundle
    from lrn_deploy.export.graph import OnnxExport, to_onnx
    from lrn_deploy.export.options import ExportOptions

__all__ = ["ExportOptions", "OnnxExport", "current_bundle", "export_bundle", "to_onnx"]

_HOMES = {
    "ExportOptions": "options",
    "OnnxExport": "graph",
    "current_bundle": "bundle",
    "export_bundle": "bundle",
    "to_onnx": "graph",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""NNCF, as tests have it: its import and its work, a great deal of Python, are not traced."""

from __future__ import annotations

import importlib.util

from lrn_deploy.passes.quantization import quantize_nncf
from tests.support.tracing import set_aside


def leave_nncf_untraced() -> None:
    """Let it quantize without a tracer, if it is installed; it calls nothing of ours meanwhile."""
    if importlib.util.find_spec("nncf") is None:
        return
    nncf = set_aside(quantize_nncf._import)()
    if not hasattr(nncf.quantize, "untraced"):
        nncf.quantize = set_aside(nncf.quantize)

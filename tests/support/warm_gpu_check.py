"""``benchmarks.gpu_check``, whose processes are forked from one that has the imports behind it.

The first stage, which needs next to nothing, is started. A variable names a bundle of digits as it
is exported: PyTorch's exporter takes longer than all else that the stage ``made`` does.
"""

from __future__ import annotations

import importlib
import multiprocessing.context
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import threads
from tests.support.forked import Forked, is_alone

EXPORTED = "LRN_TESTS_EXPORTED_DIGITS"
_COLD = "benchmarks.gpu.smoke"
_WARM = (
    "torch",
    "torch._dynamo",
    "torch.onnx._internal.exporter._core",
    "onnxruntime",
    "tensorrt_rtx",
    "triton.compiler",
    "benchmarks.gpu.engines",
    "benchmarks.gpu.made",
    "benchmarks.gpu.parity_parts",
    "benchmarks.gpu.record",
    "lrn_deploy.backends",
    "lrn_deploy.lrn_server",
    "lrn_deploy.plugins.operators",
    "lrn_deploy.images.examples",
    "lrn_deploy.workflows.validate.validate",
)


def is_warm(module: str) -> bool:
    """Whether a module's process is forked."""
    ours = module.startswith(("benchmarks.gpu.", "lrn_deploy.")) or module == "pytest"
    return ours and not module.startswith(_COLD)


def _copy(options: Any, path: Path, *, force: bool) -> Any:
    """In place of ``export_bundle``."""
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.export import ExportOptions

    assert (options, force) == (ExportOptions("digits"), True)
    return Bundle.open(shutil.copytree(os.environ[EXPORTED], path))


def main() -> int:
    """Import, and be the check."""
    for name in _WARM:
        importlib.import_module(name)
    import torch

    from benchmarks import gpu_check
    from lrn_deploy import export

    torch.compile(torch.nn.Identity(), backend="eager")(torch.zeros(1))  # loads much more
    threads.use_one_in_onnxruntime()
    export.export_bundle = _copy
    contexts: Any = multiprocessing.context._concrete_contexts  # type: ignore[attr-defined]  # private
    contexts["spawn"] = contexts["fork"]
    Forked.wanted = staticmethod(is_warm)
    subprocess.Popen = Forked  # type: ignore[misc] # its place is taken
    if not is_alone():
        raise RuntimeError("a process with threads cannot be forked")
    return gpu_check.main()


if __name__ == "__main__":
    sys.exit(main())

"""``benchmarks.gpu_check``, whose stages and their children are forked from one warm process.

The stages that look at what can be imported, and those that need next to nothing, are started. ONNX
Runtime is not warm: its import starts a thread, which no fork takes along.
"""

from __future__ import annotations

import importlib
import subprocess
import sys

from tests.support.forked import Forked

_COLD = ("benchmarks.gpu.imports", "benchmarks.gpu.smoke")
_WARM = (
    "torch",
    "benchmarks.gpu.engines",
    "benchmarks.gpu.record",
    "lrn_deploy.backends",
    "lrn_deploy.export",
    "lrn_deploy.images.examples",
    "lrn_deploy.models",
    "lrn_deploy.workflows.build_engine.build_engine",
    "lrn_deploy.workflows.optimize.optimize",
    "lrn_deploy.workflows.validate.validate",
)


def is_warm(module: str) -> bool:
    """Whether a module's process is forked."""
    return module.startswith("benchmarks.gpu.") and not module.startswith(_COLD)


def main() -> int:
    """Import, and be the check."""
    for name in _WARM:
        importlib.import_module(name)
    from benchmarks import gpu_check

    Forked.wanted = staticmethod(is_warm)
    subprocess.Popen = Forked  # type: ignore[misc] # its place is taken
    return gpu_check.main()


if __name__ == "__main__":
    sys.exit(main())

"""The machine and the versions that a report was made with."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

_TOOLS = (
    "lrn-deploy",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "tensorrt",
    "tensorrt-rtx",
    "openvino",
    "nncf",
)


def machine() -> dict[str, str]:
    """Processor, number of cores this process may use, and operating system."""
    return {
        "processor": _processor(),
        "cores": str(cores()),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the installed tools that results depend on."""
    installed = {name: version for name in _TOOLS if (version := _version(name)) is not None}
    return {"python": platform.python_version()} | installed


@cache
def _version(name: str) -> str | None:
    """Of an installed tool, which takes milliseconds to find out; None if it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def cores() -> int:
    """Number of cores that this process may use, which in a container is less than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1

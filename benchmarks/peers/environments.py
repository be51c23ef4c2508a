"""Virtual environments for what cannot share ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".peers"

REQUIREMENTS = {
    # It holds the real tritonserver 2.51.0 and its Python backend, without any framework.
    "triton": ("nvidia-pytriton==0.7.0", "numpy<2", "onnxruntime==1.32.0"),
    # The last one whose perf_analyzer runs on glibc 2.36.
    "perf": ("tritonclient==2.50.0",),
    "httpx": ("httpx==0.28.1",),
    # The last major version that reads Caffe's files.
    "opencv": ("opencv-python-headless>=4.14,<5", "torchfile==0.1.0"),
    "litserve": ("litserve==0.2.19", "python-multipart==0.0.34", "onnxruntime==1.32.0"),
    # 1.4.40 asks for a certifi that is newer than the newest.
    "bentoml": ("bentoml==1.4.39", "onnxruntime==1.32.0"),
}


def environment(name: str) -> Path:
    """The folder of an environment, which is made if it is not there or not as wanted.

    Args:
        name: One of :data:`REQUIREMENTS`.

    Raises:
        subprocess.CalledProcessError: If pip cannot install what it needs; it says why.
    """
    folder = FOLDER / name
    stamp = folder / ".made-for"
    wanted = "\n".join((sys.version, *REQUIREMENTS[name]))
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Making {folder} ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq"]
        # tritonclient's perf_analyzer is a program; what its Python part needs is not wanted.
        alone = ["--no-deps"] if name == "perf" else []
        subprocess.run([*pip, "install", *alone, *REQUIREMENTS[name]], check=True)
        stamp.write_text(wanted)
    return folder


def packages(name: str) -> Path:
    """The ``site-packages`` of an environment."""
    return next(environment(name).glob("lib/python*/site-packages"))

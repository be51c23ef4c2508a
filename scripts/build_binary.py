"""Build ``dist/lrn-server``: the server as one executable file, with the CPU's runtime.

PyInstaller follows imports; what it cannot see is named here: commands that are imported by name,
extension modules that import others, and packages whose data they read. What serving never touches
is left out. NVIDIA's libraries stay outside. Nothing is stripped: strip breaks the alignment of
numpy's libraries.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = (
    "lrn_deploy.cli.serve",
    "lrn_deploy.serving.server",
    "lrn_deploy.serving.http.server",
    "lrn_deploy.serving.grpc.server",
    "grpc._cython.cygrpc",
    "httptools.parser.parser",
    "httptools.parser.url_parser",
)
WITH_DATA = ("lrn_deploy.serving.page",)
LEFT_OUT = (
    "IPython",
    "PIL.ImageQt",
    "PIL.ImageTk",
    "aiohttp",
    "gevent",
    "geventhttpclient",
    "matplotlib",
    "mypy",
    "nncf",
    "onnx.backend.test",
    "onnx.reference",
    "onnxruntime.quantization",
    "onnxruntime.tools",
    "onnxruntime.transformers",
    "onnxscript",
    "openvino",
    "pandas",
    "pytest",
    "scipy",
    "setuptools",
    "sklearn",
    "sympy",
    "tensorrt",
    "tensorrt_rtx",
    "tkinter",
    "torch",
    "triton",
    "tritonclient.http",
    "uvloop",
)
ENTRY = "from lrn_deploy.lrn_server import main\n\nmain()\n"


def main() -> int:
    """Build it, and say how large it is."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        entry = Path(folder) / "lrn_server.py"
        entry.write_text(ENTRY)
        words = [sys.executable, "-m", "PyInstaller", str(entry), "--onefile", "--noconfirm"]
        words += ["--name", "lrn-server", "--log-level", "ERROR"]
        words += ["--distpath", str(ROOT / "dist"), "--workpath", folder, "--specpath", folder]
        words += [f"--hidden-import={name}" for name in HIDDEN]
        words += [f"--collect-data={name}" for name in WITH_DATA]
        words += [f"--exclude-module={name}" for name in LEFT_OUT]
        code = subprocess.run(words, cwd=ROOT, check=False).returncode
    if code:
        return code
    built = ROOT / "dist" / "lrn-server"
    size = built.stat().st_size / 1e6
    print(f"{built.relative_to(ROOT)}: {size:.0f} MB, in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

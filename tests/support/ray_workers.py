"""Ray's workers, forked from one process that has imported what they import.

Each would spend two seconds of processor time on the imports of what Ray and this package need.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.forked import is_alone
from tests.support.ray_worker import VARIABLE

_IMPORTED = (
    "lrn_deploy.backends.onnxruntime",
    "lrn_deploy.serving.rest.app",
    "lrn_deploy.serving.server",
    "lrn_deploy.stores",
    "lrn_deploy.workflows.classify",
    "aiohttp",
    "fastapi",
    "grpc.aio",
    "jsonschema",
    "opentelemetry.sdk.trace",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "requests",
    "uvicorn",
    "yaml",
)
"""All but Ray, which reads what its raylet has told it when it is imported."""


@contextmanager
def warm_workers(folder: Path) -> Iterator[Path]:
    """What a node is to start for a worker, so that one is forked as long as the block runs.

    Args:
        folder: For the socket on which workers are asked for.
    """
    address = folder / "workers"
    quiet = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.ray_workers", address],
        stdout=subprocess.PIPE,
        env={**os.environ, **quiet},
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    os.environ[VARIABLE] = str(address)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield Path(__file__).with_name("ray_worker.py")
    finally:
        del os.environ[VARIABLE]
        process.kill()
        process.wait()
        process.stdout.close()


def _forks(listener: socket.socket) -> tuple[socket.socket, dict[str, Any]]:
    """Fork a process for each that asks; returns in each what it was asked for."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        line, _ = listener.accept()
        size, files, _, _ = socket.recv_fds(line, 4, 3)
        with line.makefile("rb") as reader:
            text = reader.read(int.from_bytes(size, "big"))
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for target, file in enumerate(files):
                os.dup2(file, target)
                os.close(file)
            return line, json.loads(text)
        line.close()
        for file in files:
            os.close(file)


def _end_with(line: socket.socket) -> None:
    """As what Ray takes for the worker does."""
    line.recv(1)
    os._exit(1)


def main() -> None:
    """Import, and fork for as long as somebody asks."""
    for name in _IMPORTED:
        importlib.import_module(name)
    found = importlib.util.find_spec("ray")
    assert found is not None
    assert found.origin is not None
    worker = Path(found.origin).parent / "_private/workers/default_worker.py"
    if not is_alone():
        raise RuntimeError("a process with threads cannot be forked")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    line, asked = _forks(listener)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    sys.argv = [str(worker), *asked["argv"]]
    sys.path[0] = str(worker.parent)
    runpy.run_path(str(worker), run_name="__main__")


if __name__ == "__main__":
    main()

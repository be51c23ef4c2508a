"""Build an engine in a process of its own; :mod:`lrn_deploy.tensorrt.worker` is the other end."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import lrn_deploy
from lrn_deploy import errors
from lrn_deploy.bundle import EngineLrn
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError
from lrn_deploy.progress import Progress
from lrn_deploy.tensorrt.build import BuildRequest, BuiltEngine
from lrn_deploy.tensorrt.callbacks import LOG_VARIABLE
from lrn_deploy.tensorrt.flavor import FlavorName
from lrn_deploy.tensorrt.layers import NetworkLayer

_log = logging.getLogger("lrn_deploy.tensorrt")
_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT", "CUDA_", "NVIDIA_")
"""Beginnings of the environment variables that the process gets. The others could only change
where its memory lies, and with that the engine's bytes."""


def build_in_process(
    flavor: FlavorName, graph: bytes, request: BuildRequest, progress: Progress | None = None
) -> BuiltEngine:
    """Build an engine in a new process, which makes the result reproducible; see the worker.

    Ctrl-C ends the process at once.

    Args:
        flavor: The TensorRT to build with.
        graph: A serialised ONNX model.
        request: What to build.
        progress: Called after every step of the builder.

    Raises:
        BadInputError: If TensorRT cannot take the graph, the batch or the targets, or crashes.
        MissingError: If TensorRT, the GPU or the memory that it needs is not there.
    """
    cache = request.timing_cache
    job: dict[str, Any] = {
        **asdict(request),
        "timing_cache": None,
        "flavor": flavor,
        "graph_size": len(graph),
        "cache_size": None if cache is None else len(cache),
        "log": _log.isEnabledFor(logging.DEBUG),
    }
    root = str(Path(lrn_deploy.__file__).parents[1])
    environment = {name: text for name, text in os.environ.items() if name.startswith(_KEPT)}
    if os.environ.get(LOG_VARIABLE):  # the process starts in another folder
        environment[LOG_VARIABLE] = str(Path(os.environ[LOG_VARIABLE]).absolute())
    environment["PYTHONHASHSEED"] = "0"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["OPENBLAS_NUM_THREADS"] = "1"  # its threads' stacks move everything else
    environment["PYTHONPATH"] = os.pathsep.join(
        path for path in (root, os.environ.get("PYTHONPATH")) if path
    )
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "lrn_deploy.tensorrt.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            cwd=Path(root).anchor,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            try:
                process.stdin.write(json.dumps(job).encode() + b"\n")
                process.stdin.write(graph)
                process.stdin.write(cache or b"")
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has ended already; why is found out below
            built = _read(process.stdout, progress)
        except BaseException:
            process.kill()
            raise
        if built is None:
            raise _ended(process.wait(), complaints)
        return built


def _read(channel: IO[bytes], progress: Progress | None) -> BuiltEngine | None:
    """What the worker tells; None if it ended without an answer."""
    for line in iter(channel.readline, b""):
        told = json.loads(line)
        if "step" in told and progress is not None:
            progress(*told["step"])
        elif "log" in told:
            _log.log(told["log"][0], "%s", told["log"][1])
        elif "error" in told:
            kind: type[LrnDeployError] = getattr(errors, told["error"]["kind"])
            raise kind(told["error"]["message"], told["error"]["hint"])
        elif "built" in told:
            return _receive(channel, told)
    return None


def _receive(channel: IO[bytes], told: dict[str, Any]) -> BuiltEngine | None:
    facts = told["built"]
    data = channel.read(told["engine_size"])
    cache = None if told["cache_size"] is None else channel.read(told["cache_size"])
    if len(data) != told["engine_size"] or len(cache or b"") != (told["cache_size"] or 0):
        return None
    return BuiltEngine(
        data=data,
        layers=tuple(NetworkLayer.model_validate(layer) for layer in facts["layers"]),
        lrn=tuple(EngineLrn.model_validate(record) for record in facts["lrn"]),
        profile={
            name: (tuple(low), tuple(best), tuple(high))
            for name, (low, best, high) in facts["profile"].items()
        },
        timing_cache=cache,
        seconds=facts["seconds"],
        peak_memory=facts["peak_memory"],
        reproducible=facts["reproducible"],
    )


def _ended(code: int, complaints: IO[bytes]) -> Exception:
    """Why the process ended without an answer."""
    complaints.seek(0)
    last = complaints.read().decode(errors="replace").strip().splitlines()[-1:]
    said = f" Its last words: {last[0]}" if last else ""
    if code == -9:
        return MissingError(
            "The process that built the engine was killed, most likely for want of memory.",
            "Free some memory, or build on a larger machine.",
        )
    if code < 0:
        return BadInputError(
            f"TensorRT crashed while it built the engine ({signal.Signals(-code).name}).{said}",
            "Another '--precision' or '--target' may do; the bundle is as it was.",
        )
    return RuntimeError(f"the process that builds engines ended with code {code}.{said}")

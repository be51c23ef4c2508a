"""lrn-server and its peers, each with the same ONNX file: how to start it, and how to ask it."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import infer, post
from benchmarks.peers.environments import environment
from benchmarks.peers.ours import lrn_server
from benchmarks.peers.processes import Server, free_ports, running
from benchmarks.peers.triton import tritonserver
from lrn_deploy.bundle import Bundle, Choice

Array = NDArray[Any]
_APPS = Path(__file__).parent


def _last(expected: Array, body: bytes) -> Array:
    """The row of an answer that ends with its bytes."""
    return np.frombuffer(body[-expected.nbytes :], expected.dtype)


def _of_json(expected: Array, body: bytes) -> Array:
    """The row of an answer that is its numbers written out, of the protocol or alone."""
    told = json.loads(body)
    numbers = told["outputs"][0]["data"] if isinstance(told, dict) else told
    return np.array(numbers, expected.dtype).ravel()


@dataclass(frozen=True)
class Contender:
    """A server.

    Attributes:
        name: What it is called in the results.
        start: Starts it with a bundle's network; a folder to work in, threads, rows at most.
        request: A whole HTTP request for a bundle's network and one row, (1, ...).
        ca: PEM file of what vouches for it, if it speaks TLS.
        found: The row that an answer holds, of what is expected and the body.
    """

    name: str
    start: Callable[[Bundle, Path, int, int], AbstractContextManager[Server]]
    request: Callable[[Bundle, Array], bytes]
    ca: Path | None = None
    found: Callable[[Array, bytes], Array] = _last

    def right(self, expected: Array, body: bytes) -> bool:
        """Whether an answer holds this row."""
        found = self.found(expected, body)
        return bool(np.allclose(found, expected.ravel(), rtol=1e-2, atol=1e-2))


@contextmanager
def _ours(bundle: Bundle, _folder: Path, threads: int, rows: int) -> Iterator[Server]:
    options = ("--threads", str(threads), "--max-batch-size", str(rows), "--access-log", "none")
    with lrn_server(bundle.path, *options) as server:
        yield server


@contextmanager
def _ours_on_openvino(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
    """The same file on the runtime that ``tune`` chooses for AlexNet in fp32 on a CPU."""
    copy = Bundle.open(shutil.copytree(bundle.path, folder / "bundle"))
    digest = copy.manifest.artifact("model").sha256
    choice = Choice(artifact="model", sha256=digest, backend="openvino:cpu")
    with _ours(copy.update(choices=(choice,)), folder, threads, rows) as server:
        yield server


@contextmanager
def _triton(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
    graphs = {bundle.manifest.model.name: bundle.path / "model.onnx"}
    with tritonserver(folder / "triton", graphs, max_batch=rows, threads=threads) as server:
        yield server


@contextmanager
def _litserve(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
    (port,) = free_ports(1)
    command = [environment("litserve") / "bin" / "python", _APPS / "litserve_app.py"]
    env = _told(bundle, port, threads, rows)
    with running(command, "/health", [port], env=env, cwd=folder) as server:
        yield server


@contextmanager
def _bentoml(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
    (port,) = free_ports(1)
    binaries = environment("bentoml") / "bin"
    command: list[str | Path] = [
        binaries / "bentoml",
        "serve",
        "bentoml_app:Network",
        "--port",
        str(port),
    ]
    env = _told(bundle, port, threads, rows) | {
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PATH": f"{binaries}:{os.environ['PATH']}",
    }
    with running([*command, "--host", "127.0.0.1"], "/readyz", [port], env=env, cwd=_APPS) as one:
        yield one


@contextmanager
def _ray(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
    (port,) = free_ports(1)
    command = [environment("ray") / "bin" / "python", _APPS / "ray_app.py"]
    env = _told(bundle, port, threads, rows) | {
        # What Ray's documentation recommends for throughput.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": "/tmp",
        "PYTHONPATH": str(_APPS),
    }
    with running(command, "/", [port], env=env, cwd=folder) as server:
        yield server


@contextmanager
def _mlserver(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
    ports = free_ports(3)
    settings = {
        "host": "127.0.0.1",
        **dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True)),
        "debug": False,
    }
    spec = bundle.manifest.inputs[0]
    model = {
        "name": bundle.manifest.model.name,
        "implementation": "mlserver_model.Network",
        "max_batch_size": rows,
        "max_batch_time": 0.01,
        "inputs": [{"name": spec.name, "datatype": "BYTES", "shape": [-1, 1]}],
        "parameters": {
            "uri": str(bundle.path / "model.onnx"),
            "extra": {"threads": threads},
        },
    }
    for name, content in (("settings", settings), ("model-settings", model)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    binaries = environment("mlserver") / "bin"
    env = {"PYTHONPATH": str(_APPS), "PATH": f"{binaries}:{os.environ['PATH']}"}
    command: list[str | Path] = [binaries / "mlserver", "start", folder]
    ready = f"/v2/models/{bundle.manifest.model.name}/ready"
    with running(command, ready, ports, env=env, cwd=folder) as server:
        yield server


@contextmanager
def _kserve(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
    (port,) = free_ports(1)
    command: list[str | Path] = [
        *(environment("kserve") / "bin" / "python", _APPS / "kserve_app.py"),
        *("--http_port", str(port), "--enable_grpc", "False"),
    ]
    env = _told(bundle, port, threads, rows) | {"PEER_NAME": bundle.manifest.model.name}
    with running(command, "/v2/health/ready", [port], env=env, cwd=folder) as server:
        yield server


def _told(bundle: Bundle, port: int, threads: int, rows: int) -> dict[str, str]:
    return {
        "PEER_ONNX": str(bundle.path / "model.onnx"),
        "PEER_PORT": str(port),
        "PEER_THREADS": str(threads),
        "PEER_MAX_BATCH": str(rows),
    }


def _v2(bundle: Bundle, row: Array) -> bytes:
    return infer(bundle.manifest.model.name, bundle.manifest.inputs[0].name, row)


def _form(field: str) -> Callable[[Bundle, Array], bytes]:
    """A picture's bytes as a file of a form."""
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="i"\r\n'.encode()

    def request(_bundle: Bundle, row: Array) -> bytes:
        body = head + b"Content-Type: application/octet-stream\r\n\r\n" + row.tobytes()
        kind = "multipart/form-data; boundary=x"
        return post("/predict", body + b"\r\n--x--\r\n", Content_Type=kind)

    return request


def _raw(_bundle: Bundle, row: Array) -> bytes:
    """A picture's bytes and nothing else."""
    return post("/", row.tobytes(), Content_Type="application/octet-stream")


def _base64(bundle: Bundle, row: Array) -> bytes:
    """A picture in a request of the protocol that is JSON."""
    content = {
        "name": bundle.manifest.inputs[0].name,
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(row.tobytes()).decode()],
    }
    path = f"/v2/models/{bundle.manifest.model.name}/infer"
    body = json.dumps({"inputs": [content]}).encode()
    return post(path, body, Content_Type="application/json")


ON_OPENVINO = Contender("lrn-server on OpenVINO", _ours_on_openvino, _v2)
CONTENDERS = (
    Contender("lrn-server", _ours, _v2),
    Contender("tritonserver", _triton, _v2),
    Contender("litserve", _litserve, _form("input")),
    Contender("bentoml", _bentoml, _form("files"), found=_of_json),
)
FURTHER = (
    Contender("ray serve", _ray, _raw),
    Contender("mlserver", _mlserver, _base64, found=_of_json),
    Contender("kserve", _kserve, _v2),
)
"""Those that are compared in ``results/side_by_side.json`` only."""

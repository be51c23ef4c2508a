"""The real tritonserver, on the CPU and without a container, and its perf_analyzer."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnxruntime

from benchmarks.peers.environments import environment, packages
from benchmarks.peers.processes import Server, free_ports, running

_PORTS = ("http", "grpc", "metrics")
_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8"}


@contextmanager
def tritonserver(
    folder: Path,
    models: Mapping[str, Path],
    *,
    max_batch: int,
    batching: str = "",
    threads: int = 1,
    labels: Mapping[str, Path] | None = None,
) -> Iterator[Server]:
    """Serve ONNX files through Triton's Python backend.

    Args:
        folder: Where its repository is made.
        models: ONNX files by name; the first axis of each is the batch.
        max_batch: Rows that run together at most.
        batching: What stands in ``dynamic_batching``.
        threads: Of each session.
        labels: Files of class names, for the first output of some of them.
    """
    folder.mkdir(exist_ok=True)
    for name, file in models.items():
        home = folder / "models" / name
        (home / "1").mkdir(parents=True)
        shutil.copy2(Path(__file__).with_name("triton_model.py"), home / "1" / "model.py")
        label = (labels or {}).get(name)
        if label:
            shutil.copy2(label, home / "labels.txt")
        (home / "config.pbtxt").write_text(
            _config(name, file, max_batch, batching, threads, labels=label is not None)
        )
    with serving(folder, folder / "models") as server:
        yield server


@contextmanager
def serving(
    folder: Path, *repositories: Path, load: str = "*", complete: bool = True
) -> Iterator[Server]:
    """Serve model repositories as they are.

    Args:
        folder: Where the backend is put.
        repositories: The repositories.
        load: The models to load at first; the others are when somebody asks for it.
        complete: Whether each model is first started once more, to complete its configuration.
    """
    site = packages("triton")
    source = site / "pytriton" / "tritonserver"
    backend = folder / "backends" / "python"
    shutil.copytree(source / "backends" / "python", backend)
    version = sysconfig.get_python_version()
    shutil.copy2(source / "python_backend_stubs" / version / "triton_python_backend_stub", backend)
    ports = free_ports(len(_PORTS))
    command: list[str | Path] = [
        source / "bin" / "tritonserver",
        *(f"--model-repository={repository}" for repository in repositories),
        f"--backend-directory={folder / 'backends'}",
        "--model-control-mode=explicit",
        *([f"--load-model={load}"] if load else []),
        *(f"--{name}-address=127.0.0.1" for name in _PORTS),
        *(f"--{name}-port={port}" for name, port in zip(_PORTS, ports, strict=True)),
        *([] if complete else ["--disable-auto-complete-config"]),
        "--exit-on-error=true",
    ]
    env = {
        "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}",
        # The backend's embedded interpreter has the packages of the python3 that it finds.
        "PATH": f"{environment('triton') / 'bin'}:{os.environ['PATH']}",
    }
    with running(command, "/v2/health/ready", ports, env=env) as server:
        yield server


def perf_analyzer(folder: Path) -> tuple[Path, dict[str, str]]:
    """The program, and the environment that it needs.

    It asks for two libraries by names that pytriton has under others.

    Args:
        folder: Where links to them are made.
    """
    libraries = packages("triton") / "nvidia_pytriton.libs"
    for wanted in ("libb64.so.0d", "libcudart.so.12"):
        stem, _, version = wanted.partition(".so.")
        (folder / wanted).symlink_to(next(libraries.glob(f"{stem}-*.so.{version}*")))
    path = f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return environment("perf") / "bin" / "perf_analyzer", {"LD_LIBRARY_PATH": path}


def _config(
    name: str, file: Path, max_batch: int, batching: str, threads: int, *, labels: bool
) -> str:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def tensors(kind: str, specs: list[onnxruntime.NodeArg]) -> str:
        lines = []
        for index, spec in enumerate(specs):
            label = ' label_filename: "labels.txt"' * (labels and not index and kind == "output")
            lines.append(
                f'{kind} {{ name: "{spec.name}" data_type: {_TYPES[spec.type]} '
                f"dims: {spec.shape[1:]}{label} }}"
            )
        return "\n".join(lines)

    told = {"onnx": file.resolve(), "threads": threads}
    parameters = "\n".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        for key, value in told.items()
    )
    return f"""name: "{name}"
backend: "python"
max_batch_size: {max_batch}
{tensors("input", session.get_inputs())}
{tensors("output", session.get_outputs())}
instance_group {{ kind: KIND_CPU count: 1 }}
dynamic_batching {{ {batching} }}
{parameters}
"""

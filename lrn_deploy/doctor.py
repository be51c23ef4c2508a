"""What this machine has, which backends can run on it, and how to enable the rest."""

from __future__ import annotations

import csv
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

from pydantic import BaseModel, ConfigDict

from lrn_deploy.backends.protocol import Backend
from lrn_deploy.backends.registry import artifact_backends, torch_backends

PACKAGES = {
    "numpy": "arrays (core)",
    "onnx": "ONNX graphs (core)",
    "onnx-ir": "passes over ONNX graphs (core)",
    "pillow": "images (core)",
    "safetensors": "weights (core)",
    "torch": "networks, export, the reference of parity (extra 'export')",
    "onnxscript": "export to ONNX (extra 'export')",
    "onnxruntime": "inference on the CPU (extra 'cpu')",
    "onnxruntime-gpu": "inference on NVIDIA GPUs and the CPU (extra 'gpu')",
    "tensorrt": "TensorRT engines (extra 'tensorrt')",
    "tensorrt-rtx": "TensorRT-RTX engines (extra 'rtx')",
    "openvino": "inference on the CPU by OpenVINO (extra 'openvino')",
    "nncf": "NNCF's int8 quantizer (extra 'quantize')",
    "scikit-learn": "two photographs and digit images to try (extra 'samples')",
}
"""Distributions that matter here and what each gives."""

_SMI_FIELDS = ("name", "driver_version", "compute_cap", "memory.total")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Package(_Record):
    """An installed or missing distribution; ``version`` is None if it is missing."""

    name: str
    version: str | None
    gives: str


class Gpu(_Record):
    """One NVIDIA GPU as its driver describes it; memory in MiB."""

    name: str
    driver: str
    compute_capability: str
    memory_mib: int | None


class BackendState(_Record):
    """Whether a backend can run here; see :class:`lrn_deploy.backends.protocol.Probe`."""

    name: str
    device: str
    available: bool
    version: str | None
    detail: str
    hint: str


class Diagnosis(_Record):
    """All that ``lrn-deploy doctor`` finds out.

    Attributes:
        python: Python's version.
        executable: The interpreter that runs.
        platform: Operating system and processor.
        packages: Every distribution of :data:`PACKAGES`.
        gpus: NVIDIA's GPUs; empty without a driver.
        backends: Every backend on every kind of device.
        problems: Sentences about what must be mended before anything here can be trusted.
    """

    python: str
    executable: str
    platform: str
    packages: tuple[Package, ...]
    gpus: tuple[Gpu, ...]
    backends: tuple[BackendState, ...]
    problems: tuple[str, ...]

    @property
    def can_run(self) -> bool:
        """Whether at least one backend can run."""
        return any(backend.available for backend in self.backends)


def diagnose() -> Diagnosis:
    """Look at this machine and this Python environment; never raises."""
    packages = tuple(
        Package(name=name, version=installed_version(name), gives=gives)
        for name, gives in PACKAGES.items()
    )
    return Diagnosis(
        python=platform.python_version(),
        executable=sys.executable,
        platform=f"{platform.system()} {platform.release()}, {platform.machine()}",
        packages=packages,
        gpus=find_gpus(),
        backends=tuple(_state(backend) for backend in (*artifact_backends(), *torch_backends())),
        problems=conflicts(packages),
    )


def conflicts(packages: Sequence[Package]) -> tuple[str, ...]:
    """What cannot stay installed together, one sentence each.

    In two folders, as when one comes by ``PYTHONPATH``, the first only hides the second.
    """
    installed = {package.name for package in packages if package.version is not None}
    both = ("onnxruntime", "onnxruntime-gpu")
    if installed.issuperset(both) and len({installed_in(name) for name in both}) == 1:
        return (
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
            "run 'pip uninstall onnxruntime onnxruntime-gpu' and install one of them again.",
        )
    return ()


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed_in(distribution: str) -> str:
    """The folder that an installed distribution lies in; empty if there is none."""
    try:
        return str(metadata.distribution(distribution).locate_file(""))
    except metadata.PackageNotFoundError:
        return ""


def find_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that ``nvidia-smi`` lists; none if it is absent or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [f"--query-gpu={','.join(_SMI_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ()
    rows = csv.reader(answer.splitlines(), skipinitialspace=True)
    return tuple(_gpu(row) for row in rows if len(row) == len(_SMI_FIELDS))


def _gpu(row: list[str]) -> Gpu:
    name, driver, capability, memory = (cell.strip() for cell in row)
    return Gpu(
        name=name,
        driver=driver,
        compute_capability=capability,
        memory_mib=int(memory) if memory.isdigit() else None,
    )


def _state(backend: Backend) -> BackendState:
    probe = backend.probe()
    return BackendState(
        name=backend.name,
        device=backend.device,
        available=probe.available,
        version=probe.version,
        detail=probe.detail,
        hint=probe.hint,
    )

"""Which backends there are, and all rules of what runs where."""

from __future__ import annotations

from collections.abc import Sequence

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Backend
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.bundle import Artifact, ArtifactData
from lrn_deploy.errors import BadInputError, LrnDeployError, MissingError, NoKernelError
from lrn_deploy.placement import Placement

DEVICES = ("cpu", "cuda")
_RUNTIMES = {
    "cpu": frozenset({("onnxruntime", "cpu"), ("openvino", "cpu")}),
    "openvino": frozenset({("openvino", "cpu")}),
    "cuda": frozenset({("onnxruntime", "cuda")}),
    "tensorrt": frozenset({("tensorrt", "cuda")}),
}
"""For each target the backends that run what is made for it, and the kind of their device."""
_HOMES = {"cpu": "onnxruntime", "cuda": "onnxruntime"}
"""The backend that a target's variants are written for, where it has not the target's name."""


def artifact_backends(
    devices: Sequence[str] = DEVICES, *, threads: int = 0, gpu_memory: int | None = None
) -> tuple[Backend, ...]:
    """Every backend that runs artifacts, on every device, whether it can run here or not.

    Args:
        devices: The devices.
        threads: Threads of one run on the CPU; 0 lets the runtime choose.
        gpu_memory: Most bytes of GPU memory that one artifact may take; None for all that is free.

    Raises:
        BadInputError: If a device is not ``cpu``, ``cuda`` or ``cuda:N``.
    """
    for device in devices:
        check_device(device)
    return (
        *(OnnxRuntimeBackend(device, threads=threads, gpu_memory=gpu_memory) for device in devices),
        *(OpenVinoBackend(threads=threads) for device in devices if device == "cpu"),
        *(
            TensorRtBackend(device, memory_limit=gpu_memory)
            for device in devices
            if device != "cpu"
        ),
    )


def runs(backend: Backend, artifact: Artifact | ArtifactData) -> bool:
    """Whether a backend is one to run an artifact on: it takes its format, and its target.

    A graph that was made for OpenVINO runs there only, and OpenVINO runs no graph that was made for
    a GPU. ONNX Runtime runs those on the CPU too, which checks them before any GPU is seen.
    """
    if artifact.format not in backend.formats:
        return False
    if artifact.target == "openvino":
        return isinstance(backend, OpenVinoBackend)
    return not isinstance(backend, OpenVinoBackend) or artifact.target in ("any", "cpu")


def place(artifact: str, backend: Backend, threads: int = 0) -> Placement:
    """An artifact on a backend."""
    return Placement(artifact, backend.name, backend.device, threads)


def runtimes(target: str) -> frozenset[tuple[str, str]]:
    """The backends that run what is made for a target, with the kind of their device."""
    return _RUNTIMES[target]


def is_home(placement: Placement, target: str) -> bool:
    """Whether something runs on the very runtime that a target stands for.

    What is made for the target ``cpu`` is written for ONNX Runtime's kernels; OpenVINO runs it,
    too, but has variants of its own.
    """
    backend = _HOMES.get(target, target)
    kinds = {kind for name, kind in _RUNTIMES[target] if name == backend}
    return placement.backend == backend and placement.kind in kinds


def is_worth_trying(backend: Backend, artifact: Artifact) -> bool:
    """Whether an artifact could be at its best on a backend that runs it."""
    return artifact.target != "cpu" or backend.name == _HOMES["cpu"]


def is_emulated(backend: Backend, artifact: Artifact) -> bool:
    """Whether a backend has no kernels for what an artifact computes in, and can only imitate it.

    ONNX Runtime has none for bf16 on the CPU.
    """
    return artifact.precision == "bf16" and (backend.name, backend.device) == ("onnxruntime", "cpu")


def cannot_run_here(artifact: Artifact, backend: Backend, error: LrnDeployError) -> bool:
    """Whether a refusal to load speaks of this machine or runtime rather than of the artifact.

    An engine is made for some GPUs, and a variant may ask for what a processor has no units for
    (bf16 in OpenVINO) or, unless it was made for that very device, for what a runtime has no kernel
    (bf16 in ONNX Runtime, on the CPU and on a GPU). OpenVINO need not take what was not made for
    it, which ONNX Runtime runs. The canonical graph, though, must run everywhere else, and its
    bytes are those that were recorded, so there it is the graph that is wrong.
    """
    if artifact.engine is not None:
        return True
    if backend.name == "openvino" and artifact.target != "openvino":
        return True
    if artifact.source is None:
        return False
    if isinstance(error, NoKernelError):
        return artifact.target != backend.device.partition(":")[0]
    return isinstance(error, MissingError)


def torch_backends(devices: Sequence[str] = DEVICES) -> tuple[TorchBackend, ...]:
    """PyTorch on every device, whether it can run here or not."""
    for device in devices:
        check_device(device)
    return tuple(TorchBackend(device) for device in devices)


def check_device(device: str) -> None:
    """Refuse what names no device.

    Raises:
        BadInputError: If it is not ``cpu``, ``cuda`` or ``cuda:N``.
    """
    kind, _, index = device.partition(":")
    if kind not in DEVICES or (":" in device and (kind == "cpu" or not index.isdecimal())):
        raise BadInputError(
            f"There is no device '{device}'.", "Choose cpu, cuda or cuda:N (cuda:0 for instance)."
        )

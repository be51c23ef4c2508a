"""Which backends there are."""

from __future__ import annotations

from collections.abc import Sequence

from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.backends.openvino import OpenVinoBackend
from lrn_deploy.backends.protocol import Backend
from lrn_deploy.backends.tensorrt import TensorRtBackend
from lrn_deploy.backends.torch import TorchBackend
from lrn_deploy.bundle import Artifact, ArtifactData
from lrn_deploy.errors import BadInputError

DEVICES = ("cpu", "cuda")


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
        *(OnnxRuntimeBackend(item, threads=threads, gpu_memory=gpu_memory) for item in devices),
        *(OpenVinoBackend(threads=threads) for item in devices if item == "cpu"),
        *(TensorRtBackend(item, memory_limit=gpu_memory) for item in devices if item != "cpu"),
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


def torch_backends(devices: Sequence[str] = DEVICES) -> tuple[TorchBackend, ...]:
    """PyTorch on every device, whether it can run here or not."""
    for device in devices:
        check_device(device)
    return tuple(TorchBackend(device) for device in devices)


def runs_on(place: str, device: str) -> bool:
    """Whether a backend's place in a report, ``onnxruntime:cpu, bf16 emulated``, is on a device.

    Args:
        place: The backend and its device, and after a comma what more is to say.
        device: ``cpu``, ``cuda`` or ``cuda:N``; empty is any.
    """
    where = place.partition(",")[0].partition(":")[2]
    return not device or where == device


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

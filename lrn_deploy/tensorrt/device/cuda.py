"""The little of CUDA that engines need, through ``cuda-python``, which needs no torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install

_DRIVER_FILE = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Device:
    """One NVIDIA GPU.

    Attributes:
        index: CUDA's number of it.
        name: Its product name.
        sm: Its compute capability, ``sm89`` for instance.
        driver: Version of the NVIDIA driver, or None if it cannot be told.
        free_memory: Bytes free at the moment.
        total_memory: Bytes that it has.
    """

    index: int
    name: str
    sm: str
    driver: str | None
    free_memory: int
    total_memory: int


def find_device(index: int = 0) -> Device:
    """The GPU number ``index``, which becomes the current one of this thread.

    Raises:
        MissingError: If cuda-python is not installed, or there is no such GPU.
    """
    cuda = runtime()
    error, count = cuda.cudaGetDeviceCount()
    if error != cuda.cudaError_t.cudaSuccess or count == 0:
        raise MissingError(
            f"There is no NVIDIA GPU here that CUDA can use ({error.name}).",
            "Run 'nvidia-smi' to see whether the GPU and its driver are there.",
        )
    if index >= count:
        raise MissingError(
            f"There is no GPU cuda:{index}; this machine has {count}.",
            f"Choose one from cuda:0 to cuda:{count - 1}.",
        )
    check(cuda.cudaSetDevice(index))
    properties = check(cuda.cudaGetDeviceProperties(index))
    free, total = check(cuda.cudaMemGetInfo())
    return Device(
        index=index,
        name=properties.name.decode().rstrip("\0"),
        sm=f"sm{properties.major}{properties.minor}",
        driver=driver_version(),
        free_memory=free,
        total_memory=total,
    )


def driver_version(file: Path = _DRIVER_FILE) -> str | None:
    """Version of the NVIDIA kernel driver as Linux tells it, ``580.65.06`` for instance."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", text)
    return found[0] if found else None


def runtime() -> Any:
    """The module ``cuda.bindings.runtime``.

    Raises:
        MissingError: If cuda-python is not installed.
    """
    try:
        from cuda.bindings import runtime as cuda
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingError(
            "cuda-python is not installed.",
            f"Install it with TensorRT for RTX or with TensorRT: {install('rtx')}, or "
            f"{install('tensorrt')}",
        ) from error
    return cuda


def check(result: tuple[Any, ...]) -> Any:
    """The value or values of a CUDA call, which come behind its error code.

    Raises:
        MissingError: If the call failed; out of memory has its own hint.
    """
    error, *values = result
    if error.name != "cudaSuccess":
        memory = error.name == "cudaErrorMemoryAllocation"
        raise MissingError(
            "The GPU has not enough free memory." if memory else f"CUDA failed: {error.name}.",
            "Free some, or build the engine with a smaller largest batch."
            if memory
            else "Run 'nvidia-smi' to see the state of the GPU.",
        )
    return values[0] if len(values) == 1 else tuple(values)


def capture(stream: Any, work: Callable[[], None]) -> Any:
    """What ``work`` puts on a stream, as an executable CUDA graph; nothing runs yet.

    Raises:
        MissingError: If CUDA fails. What ``work`` raises passes through.
    """
    cuda = runtime()
    mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    check(cuda.cudaStreamBeginCapture(stream, mode))
    try:
        work()
    except BaseException:
        cuda.cudaStreamEndCapture(stream)  # that this fails too would hide the reason
        raise
    graph = check(cuda.cudaStreamEndCapture(stream))
    try:
        return check(cuda.cudaGraphInstantiate(graph, 0))
    finally:
        cuda.cudaGraphDestroy(graph)


def measure(stream: Any, work: Callable[[], None]) -> float:
    """Seconds that the GPU takes from before to after what ``work`` puts on a stream.

    Raises:
        MissingError: If CUDA fails. What ``work`` raises passes through.
    """
    cuda = runtime()
    start = check(cuda.cudaEventCreate())
    try:
        end = check(cuda.cudaEventCreate())
        try:
            check(cuda.cudaEventRecord(start, stream))
            work()
            check(cuda.cudaEventRecord(end, stream))
            check(cuda.cudaEventSynchronize(end))
            return float(check(cuda.cudaEventElapsedTime(start, end))) / 1e3
        finally:
            cuda.cudaEventDestroy(end)
    finally:
        cuda.cudaEventDestroy(start)

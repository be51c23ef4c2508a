"""A stream and events of CUDA without PyTorch; without a GPU, the host's clock in their place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.tensorrt.device.cuda import check

COPIED = 1 << 30


class Device:
    """The GPU.

    Attributes:
        stream: Its stream's address; 0 without a GPU.
    """

    stream = 0

    def seconds(self, run: Callable[[], object], calls: int) -> float:
        """Seconds of one of ``calls`` runs, from events around them."""
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls

    def copy_seconds(self) -> Callable[[], float]:
        """A function that times a copy of :data:`COPIED` bytes on the device."""
        source = bytes(1 << 20)
        return lambda: self.seconds(lambda: bytearray(source), 1)


class CudaDevice(Device):
    """A GPU with a stream of its own, since the default one synchronises with others."""

    def __init__(self) -> None:
        self._cuda = cuda.runtime()
        check(self._cuda.cudaSetDevice(0))
        self._stream: Any = check(
            self._cuda.cudaStreamCreateWithFlags(self._cuda.cudaStreamNonBlocking)
        )
        self.stream = int(self._stream)

    def seconds(self, run: Callable[[], object], calls: int) -> float:
        """See :meth:`Device.seconds`."""

        def work() -> None:
            for _ in range(calls):
                run()

        return cuda.measure(self._stream, work) / calls

    def copy_seconds(self) -> Callable[[], float]:
        """See :meth:`Device.copy_seconds`."""
        source, target = (check(self._cuda.cudaMalloc(COPIED)) for _ in range(2))
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice

        def copy() -> None:
            check(self._cuda.cudaMemcpyAsync(target, source, COPIED, kind, self._stream))

        return lambda: self.seconds(copy, 5)


def open_device(*, dry: bool) -> Device:
    """The GPU, or the host's clock for a dry run."""
    return Device() if dry else CudaDevice()

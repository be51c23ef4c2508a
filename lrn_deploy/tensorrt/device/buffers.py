"""A stream and the memory of one session: pinned on the host, and on the GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.tensorrt.device import cuda
from lrn_deploy.tensorrt.device.cuda import check

Array = NDArray[Any]


class Buffers:
    """Host and GPU memory of every input and output, for the largest batch.

    It has none until :meth:`allocate`.

    Attributes:
        stream: The stream that orders the copies; None before :meth:`allocate` and after
            :meth:`close`.
        scratch: Address and bytes of the GPU memory that all execution contexts share.
        addresses: Where each tensor is on the GPU.
    """

    def __init__(self) -> None:
        self._cuda = cuda.runtime()
        self.stream: Any = None
        self.scratch = (0, 0)
        self.addresses: dict[str, int] = {}
        self._views: dict[str, Array] = {}
        self._pinned: dict[str, int] = {}
        self._allocated: list[int] = []

    def allocate(self, specs: Sequence[TensorSpec], batch: int, scratch: int) -> None:
        """Make the stream and the memory.

        Args:
            specs: All inputs and outputs.
            batch: The largest batch.
            scratch: Bytes of scratch memory.

        Raises:
            MissingError: If CUDA fails; :meth:`close` then frees what is there already.
        """
        self.stream = check(self._cuda.cudaStreamCreateWithFlags(self._cuda.cudaStreamNonBlocking))
        self.scratch = (self._on_gpu(scratch), scratch)
        for spec in specs:
            size = size_of(spec, batch)
            host = int(check(self._cuda.cudaMallocHost(size)))
            self._pinned[spec.name] = host
            memory = memoryview((ctypes.c_byte * size).from_address(host))
            self._views[spec.name] = np.frombuffer(memory, spec.dtype)
            self.addresses[spec.name] = self._on_gpu(size)

    def view(self, spec: TensorSpec, batch: int) -> Array:
        """The host memory of a tensor as an array of its shape."""
        shape = spec.at_batch(batch)
        return self._views[spec.name][: int(np.prod(shape))].reshape(shape)

    def fill(self, feeds: Mapping[str, Array], specs: Sequence[TensorSpec], batch: int) -> None:
        """Put arrays into the inputs' host memory."""
        for spec in specs:
            self.view(spec, batch)[...] = feeds[spec.name]

    def copy_in(self, specs: Sequence[TensorSpec], batch: int) -> None:
        """Put copies to the GPU on the stream."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        for spec in specs:
            name, size = spec.name, size_of(spec, batch)
            self._copy(self.addresses[name], self._pinned[name], size, kind)

    def copy_out(self, specs: Sequence[TensorSpec], batch: int) -> None:
        """Put copies to the host on the stream."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for spec in specs:
            name, size = spec.name, size_of(spec, batch)
            self._copy(self._pinned[name], self.addresses[name], size, kind)

    def synchronize(self) -> None:
        """Wait until the stream has done its work."""
        check(self._cuda.cudaStreamSynchronize(self.stream))

    def close(self) -> None:
        """Give everything back."""
        if self.stream is not None:
            self._cuda.cudaStreamDestroy(self.stream)
        self.stream = None
        for pointer in self._allocated:
            self._cuda.cudaFree(pointer)
        for pointer in self._pinned.values():
            self._cuda.cudaFreeHost(pointer)
        self._allocated.clear()
        self._pinned.clear()
        self._views.clear()

    def _copy(self, to: int, source: int, size: int, kind: Any) -> None:
        check(self._cuda.cudaMemcpyAsync(to, source, size, kind, self.stream))

    def _on_gpu(self, size: int) -> int:
        pointer = int(check(self._cuda.cudaMalloc(max(size, 1))))
        self._allocated.append(pointer)
        return pointer


def size_of(spec: TensorSpec, batch: int) -> int:
    """Bytes of a tensor at one batch size."""
    return int(np.prod(spec.at_batch(batch))) * np.dtype(spec.dtype).itemsize

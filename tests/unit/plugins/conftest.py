"""The kernel in Triton's interpreter, and what it is compared with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrn_deploy.lrn import reference
from lrn_deploy.plugins import gpu, launch
from lrn_deploy.plugins.fusion import Fusion, Pool
from lrn_deploy.plugins.launch import Tile
from tests.support.tracing import set_aside

Floats = NDArray[np.float64]
Kernel = Callable[..., Tensor]


class Interpreted:
    """A kernel whose interpreter, all of it Triton's Python, is not traced."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        return set_aside(self.kernel[grid])


@pytest.fixture(scope="session")
def kernel() -> Any:
    """A second copy of the kernel, for the interpreter; the first one stays compilable."""
    pytest.importorskip("triton")
    file = Path(launch.__file__).with_name("kernels.py")
    spec = importlib.util.spec_from_file_location("interpreted_kernels", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        spec.loader.exec_module(module)
    return Interpreted(module.fused_lrn)


@pytest.fixture
def interpret(kernel: Any) -> Kernel:
    """Runs the kernel on a tensor of the CPU."""

    def run(x: Tensor, fusion: Fusion, tile: Tile | None = None) -> Tensor:
        channels_last = gpu.check_tensor(x, fusion)
        return gpu.run(kernel, x, fusion, channels_last=channels_last, tile=tile)

    return run


def expected(x: Tensor, fusion: Fusion) -> Floats:
    """The definition in float64: stage by stage, the pool window by window."""
    value = x.double().numpy()
    if fusion.relu:
        value = np.where(value < 0, 0, value)
    if fusion.pool_first and fusion.pool:
        value = max_pool(value, fusion.pool)
    value = reference(value, fusion.spec, fusion.convention)
    if fusion.pool and not fusion.pool_first:
        value = max_pool(value, fusion.pool)
    return value


def max_pool(x: Floats, pool: Pool) -> Floats:
    rows, columns = (windows(x.shape[2 + axis], pool, axis) for axis in (0, 1))
    return np.stack([np.stack([x[:, :, r, c].max((2, 3)) for c in columns], 2) for r in rows], 2)


def windows(size: int, pool: Pool, axis: int) -> list[slice]:
    """What each window sees of the image; in ceil mode the last may reach over its end."""
    kernel, stride, pad = pool.kernel[axis], pool.stride[axis], pool.padding[axis]
    found = []
    start = -pad
    while start + kernel <= size + pad or (
        pool.ceil_mode and start < size and (not found or start - stride + kernel < size + pad)
    ):
        found.append(slice(max(0, start), start + kernel))
        start += stride
    return found


def assert_close(y: Tensor, wanted: Floats) -> None:
    """Within the last place or two of its type; infinities and NaN where they belong."""
    info = torch.finfo(y.dtype)
    tolerance = max(info.eps, 5e-6)
    with np.errstate(over="ignore"):
        rounded = torch.from_numpy(wanted).to(y.dtype).double().numpy()
    np.testing.assert_allclose(
        y.double().numpy(), rounded, rtol=tolerance, atol=float(info.smallest_normal)
    )

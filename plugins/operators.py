"""The fused layers as PyTorch operators, ``torch.ops.lrn_deploy.relu_lrn_maxpool`` for example.

Importing this module registers them. They run the Triton kernel on NVIDIA GPUs and PyTorch's own
operators on CPUs, eagerly and under ``torch.compile``, and compute in fp32 whatever the type of
the tensor. They are for inference: they have no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor

from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.plugins import gpu
from lrn_deploy.plugins.fusion import NAMES, Fusion, Pool

NAMESPACE = "lrn_deploy"

_LRN = "Tensor x, int size, float alpha=1e-4, float beta=0.75, float k=1.0"
_POOL = "int[2] kernel_size=[3, 3], int[2] stride=[2, 2], int[2] padding=[0, 0]"
_library = torch.library.Library(NAMESPACE, "DEF")  # type: ignore[no-untyped-call]


def operator(name: str) -> Callable[..., Tensor]:
    """The operator called ``name``, one of :data:`lrn_deploy.plugins.fusion.NAMES`."""
    found: Callable[..., Tensor] = getattr(torch.ops.lrn_deploy, name).default
    return found


def arguments(fusion: Fusion) -> tuple[Any, ...]:
    """What the operator of a fusion takes after the tensor."""
    spec, pool = fusion.spec, fusion.pool
    lrn = (spec.size, spec.alpha, spec.beta, spec.k)
    if pool is None:
        return lrn
    return (*lrn, list(pool.kernel), list(pool.stride), list(pool.padding), pool.ceil_mode)


def on_cpu(x: Tensor, fusion: Fusion) -> Tensor:
    """The fusion in PyTorch's own operators, in fp32; a value reaches its own windows only."""
    y = gpu.empty_output(x, fusion, channels_last=gpu.check_tensor(x, fusion))
    value = x.float()
    if fusion.relu:
        value = F.relu(value)
    if fusion.pool_first:
        value = _max_pool(value, fusion.pool)
    value = _lrn(value, fusion)
    if not fusion.pool_first:
        value = _max_pool(value, fusion.pool)
    return y.copy_(value)


def _lrn(x: Tensor, fusion: Fusion) -> Tensor:
    spec, channels = fusion.spec, x.shape[1]
    first, last = spec.offsets(fusion.convention)
    padding = [0, 0] * (x.dim() - 2) + [-first, last]
    squares = F.pad(x * x, padding)
    total = squares.narrow(1, 0, channels)
    for offset in range(1, spec.size):
        total = total + squares.narrow(1, offset, channels)
    return x / (total * (spec.alpha / spec.size) + spec.k) ** spec.beta


def _max_pool(x: Tensor, pool: Pool | None) -> Tensor:
    if pool is None:
        return x
    return F.max_pool2d(x, pool.kernel, pool.stride, pool.padding, ceil_mode=pool.ceil_mode)


def _register(name: str) -> None:
    pooled = "maxpool" in name

    def fusion(
        size: int,  # torch leaves out what equals the schema's default, so these are the same
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
        kernel_size: Sequence[int] = (3, 3),
        stride: Sequence[int] = (2, 2),
        padding: Sequence[int] = (0, 0),
        ceil_mode: bool = False,
    ) -> Fusion:
        def pair(values: Sequence[int]) -> tuple[int, int]:
            return values[0], values[-1]

        pool = Pool(pair(kernel_size), pair(stride), pair(padding), ceil_mode) if pooled else None
        return Fusion(
            LrnSpec(size, alpha, beta, k),
            relu=name.startswith("relu"),
            pool=pool,
            pool_first=name.endswith("maxpool_lrn"),
        )

    def cpu(x: Tensor, *args: Any) -> Tensor:
        return on_cpu(x, fusion(*args))

    def cuda(x: Tensor, *args: Any) -> Tensor:
        return gpu.on_gpu(x, fusion(*args))

    def fake(x: Tensor, *args: Any) -> Tensor:
        described = fusion(*args)
        layout = gpu.check_tensor(x, described)
        return gpu.empty_output(x, described, channels_last=layout)

    def backward(_context: Any, *_gradients: Any) -> Any:
        raise BadInputError(
            f"{NAMESPACE}::{name} is for inference and has no gradient.",
            "Train the network as it was, and fuse it afterwards.",
        )

    more = f", {_POOL}, bool ceil_mode=False" if pooled else ""
    schema = f"{name}({_LRN}{more}) -> Tensor"
    tags = (torch.Tag.needs_fixed_stride_order,)
    _library.define(schema, tags=tags)  # type: ignore[no-untyped-call]
    qualified = f"{NAMESPACE}::{name}"
    # Other devices get the kernel's sentence about where it runs.
    torch.library.impl(qualified, "default", cuda, lib=_library)
    torch.library.impl(qualified, "cpu", cpu, lib=_library)
    torch.library.register_fake(qualified, fake, lib=_library)
    torch.library.register_autograd(qualified, backward, lib=_library)


for _name in NAMES:
    _register(_name)

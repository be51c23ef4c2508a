"""The kernel on PyTorch tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lrn_deploy.errors import BadInputError
from lrn_deploy.plugins import launch
from lrn_deploy.plugins.compile import check_capability, import_triton
from lrn_deploy.plugins.fusion import Fusion
from lrn_deploy.plugins.launch import Plane, Tile

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def on_gpu(x: Tensor, fusion: Fusion, tile: Tile | None = None) -> Tensor:
    """Run the kernel.

    Args:
        x: (N, C, *) for LRN alone, (N, C, H, W) with a pool; fp32, fp16 or bf16; dense, channels
            first or last.
        fusion: What to compute.
        tile: How to cut the work; None chooses.

    Returns:
        A new tensor of the type and layout of ``x``.

    Raises:
        BadInputError: If the tensor is of another kind, or not on an NVIDIA GPU of sm75 or newer.
        MissingError: If Triton is not installed.
    """
    channels_last = check_tensor(x, fusion)
    if x.device.type != "cuda" or torch.version.hip is not None:
        raise BadInputError(
            f"The fused LRN kernel runs on NVIDIA GPUs, and this tensor is on '{x.device}'.",
            "Move it with '.cuda()', or call the operator, which runs on CPUs as well.",
        )
    major, minor = torch.cuda.get_device_capability(x.device)
    check_capability(10 * major + minor)
    import_triton()
    from lrn_deploy.plugins.kernels import fused_lrn

    with torch.cuda.device(x.device):
        return run(fused_lrn, x, fusion, channels_last=channels_last, tile=tile)


def run(
    kernel: Any, x: Tensor, fusion: Fusion, *, channels_last: bool, tile: Tile | None = None
) -> Tensor:
    """Launch a kernel on a tensor that was checked."""
    batch, channels = x.shape[:2]
    y = empty_output(x, fusion, channels_last=channels_last)
    if y.numel() == 0:
        return y
    height, width = x.shape[2:] if fusion.pool else (1, math.prod(x.shape[2:]))
    plane = Plane(channels, height, width, channels_last)
    tile = tile or launch.default_tile(fusion, plane, batch)
    kernel[(launch.programs(fusion, plane, tile, batch),)](
        x,
        batch,
        y,
        **launch.constants(fusion, plane, tile, batch),
        num_warps=tile.warps,
        enable_fp_fusion=True,
    )
    return y


def empty_output(x: Tensor, fusion: Fusion, *, channels_last: bool) -> Tensor:
    """An uninitialised tensor for the result, also of a fake tensor."""
    shape = list(x.shape)
    if fusion.pool is not None:
        shape[2:] = fusion.output_size(*shape[2:])
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


def check_tensor(x: Tensor, fusion: Fusion) -> bool:
    """Whether the channels of a tensor are last in memory.

    Raises:
        BadInputError: If the operators cannot take the tensor.
    """
    if x.dtype not in DTYPES:
        raise BadInputError(
            f"The fused LRN takes fp32, fp16 or bf16, and this tensor is {x.dtype}.",
        )
    if (x.dim() != 4) if fusion.pool else (x.dim() < 3):
        wanted = "(N, C, H, W)" if fusion.pool else "(N, C, *) of rank 3 or more"
        raise BadInputError(
            f"{fusion.name} takes a tensor of shape {wanted}, got shape {tuple(x.shape)}."
        )
    if x.shape[1] == 0:
        raise BadInputError(f"{fusion.name} got a tensor without channels, {tuple(x.shape)}.")
    if x.is_contiguous():
        return False
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return True
    what = "overlaps itself" if 0 in x.stride() else "is not contiguous"
    raise BadInputError(
        f"{fusion.name} got a tensor that {what}: shape {tuple(x.shape)}, strides {x.stride()}.",
        "Call '.contiguous()' on it first.",
    )

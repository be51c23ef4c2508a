"""A network of another floating-point type as the fp32 network that everything here starts from."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn


def as_float32(module: nn.Module) -> str:
    """Turn weights and buffers of other floating-point types into float32, in place.

    From half precision nothing is lost; from float64 the digits that fp32 has not.

    Returns:
        What was turned, ``float16 as float32`` for instance; empty if nothing was.
    """
    tensors = chain(module.parameters(), module.buffers())
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    others = sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32})
    if not others:
        return ""
    module.float()
    return f"{' and '.join(others)} as float32"

"""Networks that write LRN out in ways that only what they compute tells."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor, nn

from tests.support.networks import band


class LastExpLog(nn.Module):
    """On the last axis, by a product with a band, ``exp`` and ``log``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("band", band(channels, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.band, Tensor)
        x = x.permute(0, 2, 3, 1)
        total = 2.0 + 2e-5 * (x * x) @ self.band
        return (x * torch.exp(-0.75 * torch.log(total))).permute(0, 3, 1, 2)


class ByProbes(nn.Module):
    """conv-relu-LRN-pool with channels last, and an LRN of rank 3 behind it."""

    input_shape = (3, 9, 9)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, kernel_size=3)
        self.norm = LastExpLog(8)
        self.flat = FlatRoots()

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.norm(torch.relu(self.conv(x))), 2)
        y: Tensor = self.flat(x.reshape(-1, 8, 9))
        return y


class FlatRoots(nn.Module):
    """Of rank 3, by a running sum and square roots."""

    def forward(self, x: Tensor) -> Tensor:
        running = torch.cumsum(F.pad(x * x, (0, 0, 2, 1)), dim=1)
        base = 1.0 + 1e-4 * (running[:, 3:] - running[:, :8])
        return x / torch.sqrt(base)


def by_probes() -> nn.Module:
    return ByProbes()

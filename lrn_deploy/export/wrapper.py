"""A network that takes decoded images: scaling, normalisation and layout as part of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lrn_deploy.bundle import Preprocessing


class WithPreprocessing(nn.Module):
    """Takes uint8 images (N, H, W, C), RGB or grey, and feeds the network what it was made for.

    Args:
        network: Takes float32 of shape (N, C, H, W).
        preprocessing: Its scale, mean, std and channel order.
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.reverse = preprocessing.mode == "BGR"
        mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
        std = torch.tensor(preprocessing.std, dtype=torch.float64)
        # One multiplication and one addition: (v * scale - mean) / std.
        self.register_buffer("scale", (preprocessing.scale / std).float().view(-1, 1, 1))
        self.register_buffer("bias", (-mean / std).float().view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """The network's output for a batch of images."""
        # TensorRT transposes no uint8, so the cast comes first.
        x = images.to(torch.float32).permute(0, 3, 1, 2)
        if self.reverse:
            x = x[:, [2, 1, 0]]
        output: Tensor = self.network(x * self.scale + self.bias)
        return output


def with_preprocessing(network: nn.Module, preprocessing: Preprocessing) -> nn.Module:
    """``network`` behind its preprocessing, in evaluation mode; see :class:`WithPreprocessing`."""
    return WithPreprocessing(network, preprocessing).eval()

"""A small network with AlexNet's structure, in the regime where faults of LRN hide best.

He-normal weights and normalised inputs: both LRN layers do next to nothing but multiply by
``k ** -beta``, as in an untrained AlexNet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lrn_deploy.network.weights import initialize_he


class SmallAlexNet(nn.Module):
    """conv-relu-lrn-pool twice, a convolution, two linear layers; (N, 3, 37, 37) -> (N, 10)."""

    input_shape = (3, 37, 37)

    def __init__(self, first_size: int = 5) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 24, kernel_size=5, stride=2),  # 24 x 17 x 17
            nn.ReLU(),
            nn.LocalResponseNorm(first_size, alpha=1e-4, beta=0.75, k=2),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 24 x 8 x 8
            nn.Conv2d(24, 32, kernel_size=3, padding=1),  # 32 x 8 x 8
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 32 x 3 x 3
            nn.Conv2d(32, 32, kernel_size=3, padding=1),  # 32 x 3 x 3
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(torch.flatten(self.net(x), 1))
        return y


def small_alexnet() -> nn.Module:
    """He-normal weights, and biases that a check can miss."""
    return _initialized(SmallAlexNet())


def small_alexnet_even() -> nn.Module:
    """The same with an even window in the first LRN, whose mirror image is another window."""
    return _initialized(SmallAlexNet(first_size=4))


def _initialized(module: SmallAlexNet) -> SmallAlexNet:
    initialize_he(module, seed=0)
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.normal_(layer.bias, std=0.01, generator=generator)
    with torch.no_grad():
        # AlexNet's wide layers average faults of LRN away; so narrow ones need less activity.
        module.net[0].weight *= 0.1  # type: ignore[operator]
    return module

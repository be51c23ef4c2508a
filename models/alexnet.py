"""AlexNet in one tower, with LRN (Krizhevsky, Sutskever and Hinton, 2012).

The attribute names ``net`` and ``classifier``, and the layers' places in them, are those of a
widely used public implementation, so that its checkpoints load by key.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AlexNet(nn.Module):
    """Five convolutions and three fully connected layers; (N, 3, 227, 227) -> (N, classes).

    Args:
        classes: Number of classes.
    """

    input_shape = (3, 227, 227)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 96, kernel_size=11, stride=4),  # 96 x 55 x 55
            nn.ReLU(),
            nn.LocalResponseNorm(size=5, alpha=0.0001, beta=0.75, k=2),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 96 x 27 x 27
            nn.Conv2d(96, 256, kernel_size=5, padding=2),  # 256 x 27 x 27
            nn.ReLU(),
            nn.LocalResponseNorm(size=5, alpha=0.0001, beta=0.75, k=2),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 13 x 13
            nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 6 x 6
        )
        self.classifier = nn.Sequential(
            nn.Dropout(p=0.5),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(p=0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        features = torch.flatten(self.net(x), 1)  # N x 9216
        logits: Tensor = self.classifier(features)
        return logits


def alexnet() -> AlexNet:
    """The network as ``lrn-deploy export alexnet`` takes it."""
    return AlexNet()

"""AlexNet as torchvision defines it: narrower, and without LRN (Krizhevsky, 2014).

The network of "One weird trick for parallelizing convolutional neural networks", with the LRN
layers removed; the seed article's other AlexNet. It is here for comparison: what a deployment
costs when there is no LRN in it.

The attribute names ``features``, ``avgpool`` and ``classifier``, and the layers' places in them,
are torchvision's, so that its checkpoints load by key. Input: RGB, torchvision's normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AlexNetTorchvision(nn.Module):
    """Five convolutions and three fully connected layers; (N, 3, 224, 224) -> (N, classes) logits.

    Args:
        classes: Number of classes.
    """

    input_shape = (3, 224, 224)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),  # 64 x 55 x 55
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 64 x 27 x 27
            nn.Conv2d(64, 192, kernel_size=5, padding=2),  # 192 x 27 x 27
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 192 x 13 x 13
            nn.Conv2d(192, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 6 x 6
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))  # 256 x 6 x 6, unchanged at this input size
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
        features = torch.flatten(self.avgpool(self.features(x)), 1)  # N x 9216
        logits: Tensor = self.classifier(features)
        return logits


def alexnet_torchvision() -> AlexNetTorchvision:
    """The network as ``lrn-deploy export alexnet_torchvision`` takes it."""
    return AlexNetTorchvision()

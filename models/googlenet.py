"""GoogLeNet, Inception v1, with its two LRNs (Szegedy et al., 2015).

This is the inference graph of Caffe's ``bvlc_googlenet``: the two auxiliary classifiers, used in
training only, are left out. LRN follows the pool in the first block and precedes it in the second.

Caffe rounds the size after a pool up, which gives the paper's 56, 28, 14 and 7; hence
``ceil_mode``. (The copy of this network that onnx bundles rounds down: 55, 27, 13, 6.) Input: BGR
pixels minus (104, 117, 123).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Inception(nn.Module):
    """Four branches side by side, joined along the channels; (N, C, H, W) -> (N, C', H, W).

    C' is ``c1x1 + c3x3 + c5x5 + pool``.

    Args:
        channels: C, the number of channels that come in.
        c1x1: Channels of the 1 x 1 convolution.
        reduce3: Channels that the 3 x 3 convolution sees.
        c3x3: Channels of the 3 x 3 convolution.
        reduce5: Channels that the 5 x 5 convolution sees.
        c5x5: Channels of the 5 x 5 convolution.
        pool: Channels of the 1 x 1 convolution after the 3 x 3 pool.
    """

    def __init__(
        self, channels: int, c1x1: int, reduce3: int, c3x3: int, reduce5: int, c5x5: int, pool: int
    ) -> None:
        super().__init__()
        self.branch1 = nn.Sequential(
            nn.Conv2d(channels, c1x1, kernel_size=1),
            nn.ReLU(),
        )
        self.branch3 = nn.Sequential(
            nn.Conv2d(channels, reduce3, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(reduce3, c3x3, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.branch5 = nn.Sequential(
            nn.Conv2d(channels, reduce5, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(reduce5, c5x5, kernel_size=5, padding=2),
            nn.ReLU(),
        )
        self.branch_pool = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1),
            nn.Conv2d(channels, pool, kernel_size=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The branches' outputs, in the paper's order."""
        return torch.cat(
            (self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)), dim=1
        )


class GoogLeNet(nn.Module):
    """Three convolutions and nine inceptions; (N, 3, 224, 224) -> (N, classes) logits.

    Args:
        classes: Number of classes.
    """

    input_shape = (3, 224, 224)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3),  # 64 x 112 x 112
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 56 x 56
            nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
            nn.Conv2d(64, 64, kernel_size=1),  # 64 x 56 x 56
            nn.ReLU(),
            nn.Conv2d(64, 192, kernel_size=3, padding=1),  # 192 x 56 x 56
            nn.ReLU(),
            nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 192 x 28 x 28
        )
        self.inception_3a = Inception(192, 64, 96, 128, 16, 32, 32)  # 256 x 28 x 28
        self.inception_3b = Inception(256, 128, 128, 192, 32, 96, 64)  # 480 x 28 x 28
        self.pool3 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)  # 480 x 14 x 14
        self.inception_4a = Inception(480, 192, 96, 208, 16, 48, 64)  # 512 x 14 x 14
        self.inception_4b = Inception(512, 160, 112, 224, 24, 64, 64)  # 512 x 14 x 14
        self.inception_4c = Inception(512, 128, 128, 256, 24, 64, 64)  # 512 x 14 x 14
        self.inception_4d = Inception(512, 112, 144, 288, 32, 64, 64)  # 528 x 14 x 14
        self.inception_4e = Inception(528, 256, 160, 320, 32, 128, 128)  # 832 x 14 x 14
        self.pool4 = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)  # 832 x 7 x 7
        self.inception_5a = Inception(832, 256, 160, 320, 32, 128, 128)  # 832 x 7 x 7
        self.inception_5b = Inception(832, 384, 192, 384, 48, 128, 128)  # 1024 x 7 x 7
        self.pool5 = nn.AdaptiveAvgPool2d(1)  # 1024 x 1 x 1
        self.dropout = nn.Dropout(p=0.4)
        self.classifier = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.stem(x)
        x = self.pool3(self.inception_3b(self.inception_3a(x)))
        x = self.inception_4c(self.inception_4b(self.inception_4a(x)))
        x = self.pool4(self.inception_4e(self.inception_4d(x)))
        x = self.pool5(self.inception_5b(self.inception_5a(x)))
        logits: Tensor = self.classifier(self.dropout(torch.flatten(x, 1)))
        return logits


def googlenet() -> GoogLeNet:
    """The network as ``lrn-deploy export googlenet`` takes it."""
    return GoogLeNet()

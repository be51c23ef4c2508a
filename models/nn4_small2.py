"""OpenFace's nn4.small2: a face becomes a point on the unit sphere (Amos et al., 2016).

FaceNet's NN4 (Schroff et al., 2015) without three of its inceptions. Each convolution is followed
by batch normalisation and ReLU; the two LRNs are GoogLeNet's. Three inceptions pool by the L2 norm
of 3 x 3 values, and the output has the length 1, so that the distance of two faces is the angle
between them.

Torch rounds the size after a pool down. Where a branch's plane is smaller than the others' it is
laid into the middle of zeros, with the odd pixel at the end, as Torch's ``DepthConcat`` does.
Input: RGB from 0 to 1, an aligned face.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class L2Pool(nn.Module):
    """The L2 norm of each 3 x 3 values, side by side; (N, C, H, W) -> (N, C, H // 3, W // 3)."""

    def forward(self, x: Tensor) -> Tensor:
        """The norms."""
        return torch.sqrt(9 * functional.avg_pool2d(x * x, kernel_size=3))


class Inception(nn.Module):
    """Up to four branches, joined along the channels; (N, C, H, W) -> (N, C', H / s, W / s).

    Args:
        channels: C, the number of channels that come in.
        c3x3: Channels that the 3 x 3 convolution sees and gives.
        c5x5: Those of the 5 x 5 convolution; None: there is none.
        pool: The pool of the third branch.
        projected: Channels of the 1 x 1 convolution after the pool; None: there is none.
        c1x1: Channels of the 1 x 1 convolution that is a branch alone; None: there is none.
        stride: s, of the 3 x 3 and the 5 x 5 convolution.
    """

    def __init__(
        self,
        channels: int,
        c3x3: tuple[int, int],
        c5x5: tuple[int, int] | None,
        pool: nn.Module,
        projected: int | None,
        c1x1: int | None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.branch3 = _reduced(channels, *c3x3, kernel=3, stride=stride)
        if c5x5:
            self.branch5 = _reduced(channels, *c5x5, kernel=5, stride=stride)
        self.branch_pool = nn.Sequential(pool)
        if projected:
            self.branch_pool.extend(_convolution(channels, projected))
        if c1x1:
            self.branch1 = nn.Sequential(*_convolution(channels, c1x1))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' outputs, in Torch's order."""
        planes = [branch(x) for branch in self.children()]
        height, width = planes[0].shape[2:]  # the 3 x 3 branch is never smaller than another
        return torch.cat([_centred(plane, height, width) for plane in planes], dim=1)


class Nn4Small2(nn.Module):
    """Three convolutions and seven inceptions; (N, 3, 96, 96) -> (N, size) of length 1.

    Args:
        size: Number of coordinates of a face.
    """

    input_shape = (3, 96, 96)

    def __init__(self, size: int = 128) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_convolution(3, 64, kernel=7, stride=2),  # 64 x 48 x 48
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 64 x 24 x 24
            nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
            *_convolution(64, 64),  # 64 x 24 x 24
            *_convolution(64, 192, kernel=3),  # 192 x 24 x 24
            nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=1),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 192 x 12 x 12
        )
        self.inception_3a = Inception(192, (96, 128), (16, 32), _max(), 32, 64)  # 256 x 12 x 12
        self.inception_3b = Inception(256, (96, 128), (32, 64), L2Pool(), 64, 64)  # 320 x 12 x 12
        self.inception_3c = Inception(  # 640 x 6 x 6
            320, (128, 256), (32, 64), _max(), None, None, stride=2
        )
        self.inception_4a = Inception(640, (96, 192), (32, 64), L2Pool(), 128, 256)  # 640 x 6 x 6
        self.inception_4e = Inception(  # 1024 x 3 x 3
            640, (160, 256), (64, 128), _max(), None, None, stride=2
        )
        self.inception_5a = Inception(1024, (96, 384), None, L2Pool(), 96, 256)  # 736 x 3 x 3
        self.inception_5b = Inception(736, (96, 384), None, _max(), 96, 256)  # 736 x 3 x 3
        self.pool = nn.AvgPool2d(kernel_size=3)  # 736 x 1 x 1
        self.embedding = nn.Linear(736, size)

    def forward(self, x: Tensor) -> Tensor:
        """A batch of faces as points on the unit sphere."""
        x = self.inception_3c(self.inception_3b(self.inception_3a(self.stem(x))))
        x = self.inception_4e(self.inception_4a(x))
        x = self.pool(self.inception_5b(self.inception_5a(x)))
        # Torch's Normalize adds 1e-10 to the square, which torch.onnx would take for nothing.
        return functional.normalize(self.embedding(torch.flatten(x, 1)), dim=1, eps=1e-5)


def _convolution(channels: int, out: int, *, kernel: int = 1, stride: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size but for its stride, batch normalisation and ReLU."""
    return [
        nn.Conv2d(channels, out, kernel_size=kernel, stride=stride, padding=kernel // 2),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    ]


def _reduced(channels: int, reduced: int, out: int, *, kernel: int, stride: int) -> nn.Sequential:
    """A 1 x 1 convolution before a wider one."""
    return nn.Sequential(
        *_convolution(channels, reduced), *_convolution(reduced, out, kernel=kernel, stride=stride)
    )


def _max() -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel_size=3, stride=2)


def _centred(plane: Tensor, height: int, width: int) -> Tensor:
    """The plane in the middle of zeros."""
    down, right = height - plane.shape[2], width - plane.shape[3]
    if not down and not right:
        return plane
    return functional.pad(plane, (right // 2, right - right // 2, down // 2, down - down // 2))


def nn4_small2() -> Nn4Small2:
    """The network as ``lrn-deploy export nn4_small2`` takes it."""
    return Nn4Small2()

"""Small networks that tests export."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor, nn
from torch.nn.functional import local_response_norm


class LrnOfEach(nn.Module):
    """An LRN of each input, which may be of any rank."""

    def __init__(self, *norms: nn.Module) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        return tuple(norm(image) for norm, image in zip(self.norms, images, strict=True))


class Functional(nn.Module):
    """LRN as a function, by attribute, by a name of its own, and as a module that runs twice."""

    input_shape = (6, 5, 5)

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.local_response_norm(x, 5, alpha=2e-4)
        x = local_response_norm(input=x, size=3, beta=0.5, k=2)
        return self.norm(torch.relu(self.norm(x)) + 1)


def functional() -> nn.Module:
    return Functional()


class HandWrittenLrn(nn.Module):
    """LRN as networks wrote it before PyTorch had one: by an average pool over the channels."""

    def __init__(self, local_size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.average = nn.AvgPool3d(
            kernel_size=(local_size, 1, 1), stride=1, padding=((local_size - 1) // 2, 0, 0)
        )
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        div = self.average(x.pow(2).unsqueeze(1)).squeeze(1)
        return x.div(div.mul(self.alpha).add(self.k).pow(self.beta))


class HandWritten(nn.Module):
    """conv-relu-LRN-pool, LRN by hand, then one by PyTorch's own function."""

    input_shape = (3, 9, 9)

    def __init__(self, local_size: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, kernel_size=3)
        self.norm = HandWrittenLrn(local_size, 2e-4, 0.75, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.norm(torch.relu(self.conv(x))), 2)
        return F.local_response_norm(x, 3)


def hand_written() -> nn.Module:
    return HandWritten()


def no_lrn() -> nn.Module:
    """A network without LRN, 16 inputs."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def no_lrn_with_shape() -> nn.Module:
    module = no_lrn()
    module.input_shape = (1, 4, 4)  # type: ignore[assignment]
    return module


class FixedBatch(nn.Module):
    """A network that works for a batch of 2 only."""

    input_shape = (1, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 16)


def fixed_batch() -> nn.Module:
    return FixedBatch()


class NoTranslation(nn.Module):
    """Uses an operator that ONNX does not have."""

    input_shape = (1, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


def no_translation() -> nn.Module:
    return NoTranslation()


class Branching(nn.Module):
    """Branches on a value, which cannot be traced."""

    input_shape = (1, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


def branching() -> nn.Module:
    return Branching()


def raises() -> nn.Module:
    raise RuntimeError("no such backbone")


def no_module() -> str:
    return "a string"


class SumOfSlices(nn.Module):
    """LRN as a sum of shifted channels: pads them, and adds slices."""

    def __init__(self, size: int, alpha: float, beta: float, k: float, sides: tuple[int, int]):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        squares = F.pad(x * x, (0, 0, 0, 0, *self.sides))
        channels = x.shape[1]
        total: Tensor | float = self.k
        for at in range(self.size):
            total = total + self.alpha * squares[:, at : at + channels]
        assert isinstance(total, Tensor)
        return x / total**self.beta


class ConvolutionOfOnes(nn.Module):
    """LRN as a 1x1 convolution by a matrix of zeros and ones."""

    def __init__(self, matrix: Tensor, alpha: float, beta: float, k: float):
        super().__init__()
        self.alpha, self.beta, self.k = alpha, beta, k
        self.register_buffer("weight", matrix[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        total = F.conv2d(x * x, self.weight)
        return x / torch.sqrt(self.k + self.alpha * total)


def band(channels: int, left: int, right: int) -> Tensor:
    """Ones for the channels ``c - left`` to ``c + right`` of each channel c."""
    at = torch.arange(channels)
    away = at[None] - at[:, None]
    return ((away >= -left) & (away <= right)).float()


class WithinChannels(nn.Module):
    """Normalises by the squares around a pixel in its own channel, as Caffe's WITHIN_CHANNEL."""

    def __init__(self) -> None:
        super().__init__()
        self.average = nn.AvgPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x.div(self.average(x.pow(2)).mul(1e-4).add(1.0).pow(0.75))


class Conv(nn.Module):
    """A convolution and ReLU, what is given, and a pool."""

    input_shape = (3, 9, 9)

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, kernel_size=3)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.norm(torch.relu(self.conv(x))), 2)


def sum_of_slices() -> nn.Module:
    return Conv(SumOfSlices(5, 4e-5, 0.75, 2.0, (2, 2)))


def convolution_of_ones() -> nn.Module:
    return Conv(ConvolutionOfOnes(band(8, 2, 2), 2e-5, 0.5, 2.0))


def within_channels() -> nn.Module:
    return Conv(WithinChannels())


def cross_map() -> nn.Module:
    return Conv(nn.CrossMapLRN2d(5, 1e-4, 0.75, 2.0))


def even_by_hand() -> nn.Module:
    return Conv(SumOfSlices(4, 5e-5, 0.75, 2.0, (2, 1)))

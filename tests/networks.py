"""Small networks that tests export."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor, nn
from torch.nn.functional import local_response_norm


class OneLrn(nn.Module):
    """An LRN alone, on an input of any rank."""

    def __init__(self, shape: tuple[int, ...], size: int, alpha: float, beta: float, k: float):
        super().__init__()
        self.input_shape = shape
        self.norm = nn.LocalResponseNorm(size, alpha, beta, k)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


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

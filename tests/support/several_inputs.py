"""Networks of several inputs, of integers among them, for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from lrn_deploy.bundle import Bundle
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.network.inputs import one_input
from tests.support.exported import made_once

FILE = Path(__file__).resolve()
ROWS = 20
"""Of the table of tokens."""
IMAGE = one_input((3, 8, 8), name="image")
TOKENS = one_input((5,), name="tokens", dtype="int64")


class Captioned(nn.Module):
    """Scores of an image and tokens: conv, LRN, mean, times the tokens' mean embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.LocalResponseNorm(3, 1e-2, 0.75, 2.0)
        self.table = nn.Embedding(ROWS, 6)
        self.linear = nn.Linear(6, 4)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        seen = self.norm(torch.relu(self.conv(image))).mean((2, 3))
        scores: Tensor = self.linear(seen * self.table(tokens).mean(1))
        return scores


class Shown(Captioned):
    """The same with examples, in another order than forward's."""

    def __init__(self) -> None:
        super().__init__()
        self.example_inputs = {
            "tokens": torch.tensor([[3, 1, 4, 1, 5], [2, 6, 5, 3, 5]]),
            "image": torch.zeros(2, 3, 8, 8),
        }


class KeywordOnly(Captioned):
    """The same, with what nobody gives in between and an input that must be named."""

    def forward(  # type: ignore[override]
        self, image: Tensor, scale: Tensor | None = None, *, tokens: Tensor
    ) -> Tensor:
        return super().forward(image if scale is None else image * scale, tokens)


class Many(nn.Module):
    """Any number of inputs, under no name."""

    def forward(self, *images: Tensor) -> Tensor:
        return nn.functional.local_response_norm(images[0], 3, 0.5) - images[1]


class Kinds(nn.Module):
    """A number for each row, a mask, and a network of LRN."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.norm = nn.LocalResponseNorm(3, 0.1)

    def forward(self, x: Tensor, label: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.norm(x * self.table(label)[:, :, None]) * mask[:, None, :].float()
        return y


class Unused(nn.Module):
    """One of its inputs changes nothing."""

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:  # noqa: ARG002 - that is the point
        return x * 2


class Several(nn.Module):
    """Two outputs, as a tuple."""

    input_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LocalResponseNorm(3, 1e-2)
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.norm(x)
        return self.linear(y.mean((2, 3))), y


class Mapped(Several):
    """The same as a dictionary."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        scores, features = super().forward(x)
        return {"scores": scores, "features": features}


def captioned_bundle(path: Path) -> Bundle:
    """:class:`Captioned`, exported once a run."""
    options = ExportOptions(f"{FILE}:Captioned", inputs=(IMAGE, TOKENS))
    made = made_once("captioned", lambda folder: export_bundle(options, folder))
    return Bundle.open(shutil.copytree(made, path))


def captioned() -> Captioned:
    """The network of that bundle, with the same weights: an export seeds them with 0."""
    torch.manual_seed(0)
    return Captioned().eval()

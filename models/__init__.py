"""The zoo: networks of the LRN era, one readable file each.

This module lists them without importing torch; :meth:`ZooEntry.build` imports the network's file.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.bundle.manifest import Preprocessing

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
LABELS_FOLDER = Path(__file__).parent / "labels"


@dataclass(frozen=True)
class ZooEntry:
    """One network of the zoo.

    Attributes:
        name: What ``lrn-deploy export`` calls it; also the factory function's name.
        summary: One line for the listing.
        module: The file in this folder that defines it.
        input_shape: Shape of one input without the batch.
        preprocessing: How an image becomes its input.
        weights: File of trained weights in ``weights/``, if any are shipped.
        labels: File of class names in ``labels/``, if known.
    """

    name: str
    summary: str
    module: str
    input_shape: tuple[int, ...]
    preprocessing: Preprocessing
    weights: str | None = None
    labels: str | None = None

    def build(self) -> nn.Module:
        """The network, with PyTorch's default initialisation."""
        code = importlib.import_module(f"lrn_deploy.models.{self.module}")
        module: nn.Module = getattr(code, self.name)()
        return module

    def digest(self) -> str:
        """SHA-256 over the file that defines the network and its trained weights."""
        files = [Path(__file__).parent / f"{self.module}.py"]
        if self.weights is not None:
            files.append(WEIGHTS_FOLDER / self.weights)
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def read_labels(entry: ZooEntry) -> tuple[str, ...] | None:
    """The class names of a network, or None if it has none."""
    if entry.labels is None:
        return None
    return tuple((LABELS_FOLDER / entry.labels).read_text().splitlines())


_IMAGENET_RGB = Preprocessing(resize=256, crop=(227, 227))

ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry(
            "alexnet",
            "AlexNet as in the article: LRN after ReLU, before the pool, in two blocks",
            "alexnet",
            (3, 227, 227),
            _IMAGENET_RGB,
        ),
    )
}

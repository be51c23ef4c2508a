"""How a decoded image becomes a network's input, and what of that nobody said."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Literal

from pydantic import model_validator

from lrn_deploy.bundle.record import Record
from lrn_deploy.said.values import Colors, Interpolation

Mode = Literal["RGB", "BGR", "L"]

MODES: dict[Colors, Mode] = {"rgb": "RGB", "bgr": "BGR", "gray": "L"}
"""What users call the order of channels, and what the manifest calls it."""


class Preprocessing(Record):
    """How a decoded image becomes the network's input.

    The image is converted to ``mode``, resized, cropped at its centre, and each pixel value v
    (0 to 255) becomes ``(v * scale - mean) / std`` per channel.

    Attributes:
        mode: Channel order, or ``L`` for grey.
        resize: Length in pixels that the shorter side is resized to, or height and width of the
            whole resized image; None resizes straight to ``crop``.
        crop: Height and width in pixels of the centre crop.
        interpolation: Pillow's name of the resampling filter.
        scale: Factor of the pixel values.
        mean: Value that is subtracted, one for each channel, in the order of ``mode``.
        std: Value that is divided by, one for each channel, in the order of ``mode``.
        in_graph: True if scaling, normalisation and layout are inside the graph, which then takes
            uint8 images of shape (N, H, W, C), RGB or grey.
        assumed: What nobody said, by the names of the options: ``mean`` for instance.

    Raises:
        pydantic.ValidationError: If mean and std do not fit the mode, a std or the scale is 0, a
            number is not finite, or the resized image would be smaller than the crop.
    """

    mode: Mode = "RGB"
    resize: int | tuple[int, int] | None = 256
    crop: tuple[int, int] = (227, 227)
    interpolation: Interpolation = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    in_graph: bool = False
    assumed: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Number of colour channels of the network's input."""
        return 1 if self.mode == "L" else 3

    @property
    def colors(self) -> Colors:
        """The order of channels as users call it."""
        return next(name for name, mode in MODES.items() if mode == self.mode)

    @property
    def digest(self) -> str:
        """SHA-256 over all that determines the network's input; who said it does not."""
        facts = self.model_dump(mode="json", exclude={"assumed"})
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def words(self) -> dict[str, str]:
        """Each part for people, by the names of the options."""
        if self.resize is None:
            resized = "stretched straight to the crop"
        elif isinstance(self.resize, int):
            resized = f"shorter side to {self.resize}"
        else:
            resized = f"to {_size(self.resize)}"
        return {
            "colors": {"rgb": "RGB", "bgr": "BGR", "gray": "gray"}[self.colors],
            "resize": resized,
            "interpolation": self.interpolation,
            "crop": f"the centre {_size(self.crop)}",
            "scale": "1/255" if self.scale == 1 / 255 else f"{self.scale:g}",
            "mean": _numbers(self.mean),
            "std": _numbers(self.std),
        }

    @property
    def described(self) -> str:
        """All of it in one line: geometry, then (pixel x scale - mean) / std with its numbers."""
        told = self.words
        return (
            f"{told['colors']}; resize {told['resize']}, {told['interpolation']}; "
            f"crop {told['crop']}; (pixel x {told['scale']} - {told['mean']}) / {told['std']}"
        )

    @property
    def assumption(self) -> str:
        """What nobody said and what it means, in one sentence; empty if somebody said it all."""
        if not self.assumed:
            return ""
        parts = [f"{name} {text}" for name, text in self.words.items() if name in self.assumed]
        return f"assumed: {'; '.join(parts)}; if it was trained otherwise, predictions are wrong"

    @model_validator(mode="after")
    def _is_possible(self) -> Preprocessing:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mode {self.mode} takes {self.channels} means and stds")
        if min(self.crop) < 1:
            raise ValueError(f"the crop is empty: {self.crop}")
        if 0 in self.std:
            raise ValueError("a std must not be 0")
        if self.scale == 0:
            raise ValueError("the scale must not be 0")
        if not all(map(math.isfinite, (self.scale, *self.mean, *self.std))):
            raise ValueError("scale, mean and std must be finite")
        if self.resize is not None and not _covers(self.resize, self.crop):
            raise ValueError(f"resize {self.resize} is smaller than the crop {self.crop}")
        return self


def _covers(resize: int | tuple[int, int], crop: tuple[int, int]) -> bool:
    if isinstance(resize, int):
        return resize >= max(crop)
    return resize[0] >= crop[0] and resize[1] >= crop[1]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _numbers(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"

"""What a Caffe network was fed with: ``transform_param`` and mean files.

Caffe reads images with OpenCV, so channels come as blue, green, red, with values from 0 to 255, and
an input is ``(pixel - mean) * scale``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lrn_deploy.caffe.axes import Shape, words
from lrn_deploy.caffe.files.blobs import map_file, read_blob
from lrn_deploy.caffe.files.place import Place
from lrn_deploy.caffe.files.record import Record


@dataclass(frozen=True)
class Mean:
    """The mean of the images a network was trained on.

    Attributes:
        channels: Its average in each channel, in the network's order.
        size: Height and width of a mean image; None if it is one number a channel.
        file: Where it was read.
    """

    channels: tuple[float, ...]
    size: tuple[int, int] | None
    file: str


@dataclass(frozen=True)
class Transform:
    """How an image becomes an input: ``(pixel - mean) * scale``, pixels from 0 to 255.

    Attributes:
        colors: Order of the channels.
        crop: Height and width of the input.
        scale: The factor.
        mean: One for each channel, in pixels; None if the files do not tell.
        resize: Height and width that the whole image is resized to first; None if nothing tells.
        origins: Where each of these was read, or why it is so.
    """

    colors: str
    crop: tuple[int, int]
    scale: float
    mean: tuple[float, ...] | None
    resize: tuple[int, int] | None
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> dict[str, Any]:
        """As the package says a preprocessing, ``(pixel * scale - mean) / std``; what is known."""
        known: dict[str, Any] = {"colors": self.colors}
        if self.resize is not None:
            known["resize"] = self.resize
        if self.mean is not None:
            known["scale"] = self.scale
            known["mean"] = tuple(value * self.scale for value in self.mean)
            known["std"] = (1.0,) * len(self.mean)
        return known


def read_mean(path: Path) -> Mean:
    """The mean in a ``.binaryproto`` or ``.npy`` file.

    Raises:
        BadInputError: If it is neither, or no mean of images of (C, H, W) or of channels (C,).
    """
    place = Place(str(path))
    if path.suffix.lower() == ".npy":
        try:
            image = np.load(path, allow_pickle=False, mmap_mode="r")
        except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError) as error:
            raise place.wrong(f"it cannot be read as an array: {error}.", "Check it.") from error
    else:
        wire = map_file(path)
        blob = read_blob(wire, 0, len(wire.data), "the mean")
        image = blob.data.reshape(blob.shape)
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim not in (1, 3) or 0 in image.shape or image.dtype.kind not in "fiu":
        raise place.wrong(
            f"a mean of shape {words(image.shape)} and type {image.dtype} is no mean of images.",
            "It has the shape C x H x W, or C.",
        )
    channels = image.reshape(image.shape[0], -1).mean(axis=1, dtype=np.float64)
    if not np.isfinite(channels).all():
        raise place.wrong("the mean holds numbers that are not finite.", "The file is damaged.")
    size = (int(image.shape[1]), int(image.shape[2])) if image.ndim == 3 else None
    return Mean(tuple(float(value) for value in channels), size, str(path))


def find_transform(
    shape: Shape, data_layers: Sequence[Record], mean: Mean | None
) -> tuple[Transform | None, list[str]]:
    """What is known of a network's preprocessing.

    Args:
        shape: The shape of one input, (C, H, W).
        data_layers: Layers that fed the network, the best witness first.
        mean: What the user gives.

    Returns:
        The preprocessing, or None if the input is no image; and what a person should know of it.

    Raises:
        BadInputError: If a mean does not fit the input.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        if mean is not None:
            raise Place(mean.file).wrong(
                f"a mean is given, and the network takes inputs of N x {words(shape)}, no images."
            )
        return None, []
    channels, crop = shape[0], (shape[1], shape[2])
    told = []
    layer = next((layer for layer in data_layers if layer.has("transform_param")), None)
    part = layer.part("transform_param") if layer else None
    origins = {
        "colors": "Caffe's convention" if channels == 3 else "one channel",
        "scale": part.origin("scale") if part else "Caffe's default",
    }
    resize = None
    if mean is not None:
        _check(mean, channels, crop)
        values: tuple[float, ...] | None = mean.channels
        origins["mean"] = mean.file
        if mean.size is not None:
            resize = mean.size
            origins["resize"] = f"the size of the mean image in {mean.file}"
            told.append(
                f"The mean image of {words(mean.size)} is taken by its average in each channel; "
                f"its size says that images were resized to {words(mean.size)}."
            )
    else:
        values, origin = _stated_mean(part, channels)
        origins["mean"] = origin
        if values is None:
            told.append(f"The mean is not known ({origin}). Give it, as a file or as numbers.")
    colors = "bgr" if channels == 3 else "gray"
    scale = float(part.get("scale")) if part else 1.0
    if scale == 0 and part is not None:
        raise part.wrong("scale", "a scale of 0 leaves nothing of the image.")
    return Transform(colors, crop, scale, values, resize, origins), told


def _stated_mean(part: Record | None, channels: int) -> tuple[tuple[float, ...] | None, str]:
    if part is None:
        return None, "neither file tells of the training data"
    given = tuple(float(value) for value in part.all("mean_value"))
    if part.has("mean_file"):
        name = str(part.get("mean_file"))[-80:]
        return None, f"it was in '{name}', says {part.place_of('mean_file').short}"
    if not given:
        return (0.0,) * channels, f"none was subtracted, says {part.place.short}"
    if len(given) not in (1, channels):
        raise part.wrong(
            "mean_value", f"{len(given)} mean values are given for {channels} channels."
        )
    origin = part.place_of("mean_value").short
    return (given * channels if len(given) == 1 else given), origin


def _check(mean: Mean, channels: int, crop: tuple[int, int]) -> None:
    if len(mean.channels) != channels:
        raise Place(mean.file).wrong(
            f"the mean has {len(mean.channels)} channels and the network takes {channels}.",
            "Give the mean file that the network was trained with.",
        )
    if mean.size is not None and (mean.size[0] < crop[0] or mean.size[1] < crop[1]):
        raise Place(mean.file).wrong(
            f"the mean image is {words(mean.size)}, smaller than the input of {words(crop)}.",
            "Give the mean file that the network was trained with.",
        )

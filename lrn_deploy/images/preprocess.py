"""A decoded image becomes the network's input, as the manifest's ``preprocessing`` says.

Geometry follows torchvision's ``Resize`` and ``CenterCrop`` on Pillow images, whose pixels most
networks were trained on: the shorter side is resized, the longer one is rounded down, and the crop
starts at the rounded half of what is left.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrn_deploy.bundle import Preprocessing
from lrn_deploy.errors import BadInputError

Array = NDArray[Any]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
_MAX_RESIZED_PIXELS = 64_000_000


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> Array:
    """The network's input for one image, without the batch axis.

    Args:
        image: Upright image of mode ``RGB`` or ``L``, see :func:`lrn_deploy.images.decode.decode`.
        preprocessing: The bundle's preprocessing.

    Returns:
        float32 of shape (C, H, W), contiguous, each value ``(v * scale - mean) / std`` of its
        channel, channels in the order of ``preprocessing.mode``; or, if
        ``preprocessing.in_graph``, uint8 of shape (H, W, C), RGB or grey, since that graph reorders
        the channels itself. (H, W) is ``preprocessing.crop``.

    Raises:
        BadInputError: If the preprocessing contradicts itself, or the image is too thin to resize.
    """
    return normalize(fit(image, preprocessing), preprocessing)


def preprocess_array(pixels: Array, preprocessing: Preprocessing) -> Array:
    """:func:`preprocess` for pixels that are decoded already.

    Args:
        pixels: uint8 of shape (H, W), (H, W, 1) or (H, W, 3), the last in RGB order.
        preprocessing: The bundle's preprocessing.

    Raises:
        BadInputError: Also if the pixels have another shape or dtype.
    """
    shape = pixels.shape
    if pixels.dtype != np.uint8 or len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
        raise BadInputError(
            "Pixels must be uint8 of shape (H, W), (H, W, 1) or (H, W, 3), "
            f"got {pixels.dtype} of shape {shape}."
        )
    if 0 in shape:
        raise BadInputError(f"The image has no pixels: its shape is {shape}.")
    plane = pixels[..., 0] if shape[2:] == (1,) else pixels
    return preprocess(Image.fromarray(plane), preprocessing)


def fit(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Convert, resize and crop: uint8 of shape (H, W, C), RGB or grey."""
    height, width = preprocessing.crop
    resample = _FILTERS[preprocessing.interpolation]
    image = image.convert("L" if preprocessing.mode == "L" else "RGB")
    if preprocessing.resize is None:
        image = image.resize((width, height), resample)
    else:
        size = preprocessing.resize
        resized = _resized(image.size, size) if isinstance(size, int) else (size[1], size[0])
        image = image.resize(resized, resample)
        left = round((image.width - width) / 2)
        top = round((image.height - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image).reshape(height, width, preprocessing.channels)


def normalize(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Array:
    """Scaled and normalised values in the network's layout; the last step of :func:`preprocess`.

    Args:
        pixels: uint8 of shape (..., H, W, C), RGB or grey.
        preprocessing: The bundle's preprocessing.

    Returns:
        float32 of shape (..., C, H, W), channels in the order of the preprocessing's mode; or
        ``pixels`` if the graph itself does all this.
    """
    if preprocessing.in_graph:
        return pixels
    if preprocessing.mode == "BGR":
        pixels = pixels[..., ::-1]
    values = np.empty(
        (*pixels.shape[:-3], preprocessing.channels, *pixels.shape[-3:-1]), np.float32
    )
    for channel, table in enumerate(_tables(preprocessing)):
        values[..., channel, :, :] = table[pixels[..., channel]]
    return values


@lru_cache(maxsize=64)
def _tables(preprocessing: Preprocessing) -> NDArray[np.float32]:
    """What each of the 256 pixel values becomes, of shape (C, 256), rounded once from float64."""
    mean, std = np.array(preprocessing.mean)[:, None], np.array(preprocessing.std)[:, None]
    table: NDArray[np.float64] = (np.arange(256) * preprocessing.scale - mean) / std
    return table.astype(np.float32)


def _resized(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height once the shorter of them is ``side``."""
    width, height = size
    longer = side * max(size) // min(size)
    if side * longer > _MAX_RESIZED_PIXELS:
        raise BadInputError(
            f"An image of {width:,} x {height:,} pixels is too thin: with its shorter side "
            f"resized to {side} its longer one would be {longer:,}.",
            "Crop it to the part that matters.",
        )
    return (side, longer) if width <= height else (longer, side)

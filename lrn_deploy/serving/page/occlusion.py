"""Where a network looks: the image again and again, each time with another part covered in grey.

Of Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section 4.2:
the further the probability of the class falls, the more the part that is covered matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import Preprocessing, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import ImageLimits, decode
from lrn_deploy.images.preprocess import fit, normalize
from lrn_deploy.serving.errors import InvalidRequestError

Array = NDArray[Any]
Pixels = NDArray[np.uint8]

GREY = 128
MOST_CELLS = 12
"""Rows and columns of the grid at most: 145 images to run."""


@dataclass(frozen=True)
class Study:
    """An image and the parts of it that are covered, one after the other.

    Attributes:
        pixels: What the network sees of the image, uint8 of shape (H, W, C).
        preprocessing: How that becomes an input.
        cells: Rows and columns of the grid.
        region: The part of the image that the network sees, in parts of the image's width and
            height: left, top, width, height.
    """

    pixels: Pixels
    preprocessing: Preprocessing
    cells: int
    region: tuple[float, float, float, float]

    @property
    def rows(self) -> int:
        """Images to run: the whole one, then one for each cell, row after row."""
        return 1 + self.cells**2

    def inputs(self, numbers: Sequence[int], spec: TensorSpec, batch: int) -> Array:
        """The network's inputs of some of the images.

        Args:
            numbers: Which: 0 is the whole one, ``1 + row * cells + column`` that of a cell.
            spec: What the network takes.
            batch: Rows of the array; those that are left over are 0.
        """
        images = np.repeat(self.pixels[np.newaxis], len(numbers), axis=0)
        for image, number in zip(images, numbers, strict=True):
            if number:
                image[patch(divmod(number - 1, self.cells), self.cells, image.shape[:2])] = GREY
        values = normalize(images, self.preprocessing)
        array = np.zeros((batch, *values.shape[1:]), spec.dtype)
        array[: len(numbers)] = values
        return array


def study(
    content: bytes, name: str, preprocessing: Preprocessing, cells: int, limits: ImageLimits
) -> Study:
    """Decode an image to be studied.

    Args:
        content: An image file.
        name: What messages call it.
        preprocessing: How it becomes an input.
        cells: Rows and columns of the grid.
        limits: What is decoded at most.

    Raises:
        InvalidRequestError: If it is no image that can be read, or has fewer pixels than cells.
    """
    most = min(MOST_CELLS, *preprocessing.crop)
    if not 2 <= cells <= most:
        raise InvalidRequestError(f"'grid' must be from 2 to {most} for this network, got {cells}.")
    try:
        decoded = decode(content, name=name, limits=limits)
        pixels = fit(decoded.image, preprocessing)
    except BadInputError as error:
        raise InvalidRequestError(str(error)) from error
    return Study(pixels, preprocessing, cells, seen(decoded.size, preprocessing))


def patch(cell: tuple[int, int], cells: int, size: tuple[int, ...]) -> tuple[slice, slice]:
    """The pixels that are covered for a cell: it, and half a cell on each side of it.

    What is covered overlaps, so that a thing on the border of two cells is covered whole once.

    Args:
        cell: Its row and column.
        cells: Rows and columns of the grid.
        size: Height and width in pixels.
    """
    # Halves are rounded up, not to even numbers, so that all patches are of one size.
    rows, columns = (
        slice(
            max(0, math.floor((index - 0.5) * length / cells + 0.5)),
            min(length, math.floor((index + 1.5) * length / cells + 0.5)),
        )
        for index, length in zip(cell, size, strict=True)
    )
    return rows, columns


def seen(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """The part of an image that is left after resizing and cropping; see :attr:`Study.region`.

    Args:
        size: Width and height of the image in pixels.
        preprocessing: What is done to it.
    """
    height, width = preprocessing.crop
    resize = preprocessing.resize
    if resize is None:
        return 0.0, 0.0, 1.0, 1.0
    if isinstance(resize, int):
        shorter = min(size)
        whole = (resize * size[0] / shorter, resize * size[1] / shorter)
    else:
        whole = (resize[1], resize[0])
    across, down = width / whole[0], height / whole[1]
    return (1 - across) / 2, (1 - down) / 2, across, down

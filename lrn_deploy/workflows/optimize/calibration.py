"""The images that int8 is calibrated on: the user's, or real ones that fit the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import Manifest, Preprocessing, sha256
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.images.collect import collect, evenly
from lrn_deploy.images.decode import decode
from lrn_deploy.images.examples import photographs
from lrn_deploy.images.preprocess import preprocess

MIN_IMAGES = 8
MAX_IMAGES = 128
"""A folder of more is sampled evenly; AlexNet's error is the same from 8 to 32 photographs."""

DIGITS = frozenset({"digits", "digits_no_lrn"})
"""Networks that were trained on a part of scikit-learn's digits."""
_CROPS = ((1.0, 4, 1), (0.75, 3, 2), (0.5, 3, 2))

_HINT = f"Give a folder of at least {MIN_IMAGES} images like those to come, with --calibration DIR."


@dataclass(frozen=True)
class Calibration:
    """Inputs to calibrate on.

    Attributes:
        inputs: Of the network's dtype and shape (N, *).
        detail: What they are.
    """

    inputs: Array
    detail: str

    @property
    def digest(self) -> str:
        """SHA-256 over the values."""
        return sha256(np.ascontiguousarray(self.inputs).tobytes())

    def batches(self, size: int) -> list[Array]:
        """The inputs in batches of exactly ``size``, the last filled up from the front."""
        return [
            self.inputs[np.arange(start, start + size) % len(self.inputs)]
            for start in range(0, len(self.inputs), size)
        ]


def calibration_inputs(manifest: Manifest, folder: Path | None = None) -> Calibration:
    """The inputs to calibrate a network on.

    Args:
        manifest: The network's.
        folder: Images of the user's, of which at most :data:`MAX_IMAGES` are taken. Without it
            the digit networks take digits they were trained on, and others scikit-learn's two
            photographs, cropped in 16 places each.

    Raises:
        BadInputError: If the network takes no images, there are none or too few of them, or they
            are all equal.
    """
    preprocessing = manifest.preprocessing
    if preprocessing is None:
        raise BadInputError(
            f"'{manifest.model.name}' {manifest.no_image}, so there is nothing to calibrate int8 "
            "on.",
            "Choose --precision fp16 or bf16, which need no calibration.",
        )
    if folder is not None:
        found = _from_folder(folder, preprocessing)
    else:
        try:
            found = _own(manifest, preprocessing)
        except MissingError as error:
            raise BadInputError(
                f"There are no images to calibrate int8 on: {error.message}",
                f"{_HINT} Or: {error.hint}",
            ) from error
    _check(found)
    return found


def _from_folder(folder: Path, preprocessing: Preprocessing) -> Calibration:
    if not folder.is_dir():
        raise BadInputError(
            f"There is no folder '{folder}' to take calibration images from.", _HINT
        )
    sources = collect([str(folder)])
    chosen = evenly(sources, MAX_IMAGES)
    images = [decode(source.content, name=source.name).image for source in chosen]
    return Calibration(
        prepare_images(images, preprocessing),
        f"{len(chosen)} of {len(sources)} images of the user's",
    )


def _own(manifest: Manifest, preprocessing: Preprocessing) -> Calibration:
    if manifest.model.origin == "zoo" and manifest.model.factory in DIGITS:
        from lrn_deploy.models.digits_data import load_split

        images = [Image.fromarray(image) for image in load_split()[0].images[:MAX_IMAGES]]
        return Calibration(
            prepare_images(images, preprocessing), f"{MAX_IMAGES} training images of digits"
        )
    taken = [crop for photograph in photographs() for crop in crops(photograph.image, _CROPS)]
    return Calibration(
        prepare_images(taken, preprocessing), f"{len(taken)} crops of two photographs"
    )


def crops(image: Image.Image, places: Sequence[tuple[float, int, int]]) -> Iterator[Image.Image]:
    """Square crops of an image.

    Args:
        image: What to crop.
        places: Sides of the crops as shares of the image's shorter side, how many across and how
            many down.
    """
    for share, columns, rows in places:
        side = round(min(image.size) * share)
        for top in np.linspace(0, image.height - side, rows).astype(int):
            for left in np.linspace(0, image.width - side, columns).astype(int):
                yield image.crop((int(left), int(top), int(left) + side, int(top) + side))


def prepare_images(images: Sequence[Image.Image], preprocessing: Preprocessing) -> Array:
    """Images as inputs of a network, of its dtype and shape (N, *)."""
    return np.stack([preprocess(image, preprocessing) for image in images])


def _check(calibration: Calibration) -> None:
    count = len(calibration.inputs)
    distinct = len({row.tobytes() for row in calibration.inputs})
    if count > 1 and distinct == 1:
        raise BadInputError(f"All {count} calibration images are equal.", _HINT)
    if distinct < MIN_IMAGES:
        raise BadInputError(
            f"The calibration images are too few: int8 needs {MIN_IMAGES} different ones, "
            f"got {distinct}.",
            _HINT,
        )

"""Real images for checks and demonstrations, which scikit-learn ships."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install
from lrn_deploy.images.decode import DecodedImage, decode


def photographs() -> tuple[DecodedImage, ...]:
    """Two photographs, ``china.jpg`` and ``flower.jpg``, 640 x 427 pixels each, RGB.

    Raises:
        MissingError: If scikit-learn is not installed.
    """
    folder = _datasets() / "images"
    return tuple(decode(folder / name, name=name) for name in ("china.jpg", "flower.jpg"))


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The handwritten digits of scikit-learn (UCI's optical recognition test set).

    Returns:
        Images, uint8 of shape (1797, 8, 8), their 17 grey levels 0 to 16 scaled to 0 to 255; and
        the digit that each one shows, of shape (1797,).

    Raises:
        MissingError: If scikit-learn is not installed.
    """
    with gzip.open(_datasets() / "data" / "digits.csv.gz", "rt") as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.int64)
    levels, shown = table[:, :64].reshape(-1, 8, 8), table[:, 64]
    return np.round(levels * (255 / 16)).astype(np.uint8), shown


def _datasets() -> Path:
    """scikit-learn's folder of data sets, found without the second that importing it takes."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingError(
            "The sample images need scikit-learn, which is not installed.",
            f"Install it with: {install('samples')}",
        )
    return Path(spec.origin).parent / "datasets"

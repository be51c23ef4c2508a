"""scikit-learn's digits, split once and for all into training and test images.

1,797 handwritten digits (the test part of UCI's "Optical Recognition of Handwritten Digits"; E.
Alpaydin and C. Kaynak, 1998) of 8 x 8 pixels: bright strokes on black, each pixel the number, 0 to
16, of strokes' dots in a block of 4 x 4. A third of them is held out, with the same share of each
digit.

Needs the ``samples`` extra (scikit-learn), not torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrn_deploy.images.decode import DecodedImage
from lrn_deploy.images.examples import digits
from lrn_deploy.images.preprocess import normalize
from lrn_deploy.models import DIGITS_PREPROCESSING

SPLIT_SEED = 20120930

AMPLITUDE = 96
"""Standard deviation of the training images' pixels, and so the size of the activations."""


@dataclass(frozen=True)
class Digits:
    """Images of digits.

    Attributes:
        images: (N, 8, 8) uint8: 0 is background, 255 full stroke; what a picture file would hold.
        inputs: (N, 1, 8, 8) float32: ``images`` after ``DIGITS_PREPROCESSING``.
        labels: (N,) int64: the digit, 0 to 9.
    """

    images: NDArray[np.uint8]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


def load_split() -> tuple[Digits, Digits]:
    """The 1,198 training and the 599 test images; the same on every call and machine.

    Raises:
        MissingError: If scikit-learn is not installed.
    """
    images, labels = digits()
    test = _held_out(labels)
    return _digits(images[~test], labels[~test]), _digits(images[test], labels[test])


def digit_images(count: int = 10) -> tuple[DecodedImage, ...]:
    """The first ``count`` handwritten digits that the digit networks were not trained on.

    Returns:
        Grey images of 8 x 8 pixels, bright strokes on black, whose names say what they show:
        ``digit-000-shows-4.png``.

    Raises:
        MissingError: If scikit-learn is not installed.
    """
    _, held_out = load_split()
    return tuple(
        DecodedImage(f"digit-{index:03d}-shows-{label}.png", Image.fromarray(image))
        for index, (image, label) in enumerate(
            zip(held_out.images[:count], held_out.labels[:count], strict=True)
        )
    )


def _digits(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Digits:
    return Digits(images, normalize(images[..., np.newaxis], DIGITS_PREPROCESSING), labels)


def _held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images are held out: of each class a third, chosen at random.

    Written out here rather than taken from scikit-learn, whose split may change between versions;
    ``RandomState`` is the one generator whose stream numpy has frozen.
    """
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    chosen = np.zeros(len(labels), dtype=np.bool_)
    chosen[by_class[::3]] = True
    return chosen

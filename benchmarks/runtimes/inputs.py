"""The real images that errors are measured on, none of which int8 was calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import ImageOps

from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import Manifest
from lrn_deploy.images.preprocess import preprocess
from lrn_deploy.images.samples import photographs
from lrn_deploy.models.digits_data import load_split

CROP = 0.6
"""Side of the crops as a share of the photograph's shorter side; calibration takes others."""
ACROSS, DOWN = 5, 3


@dataclass(frozen=True)
class HeldOut:
    """Inputs of shape (N, C, H, W), float32, and what they are."""

    inputs: Array
    detail: str


def held_out(manifest: Manifest) -> HeldOut:
    """The inputs that fit a network of the zoo.

    The digit networks take their test images. Others take crops of scikit-learn's two photographs,
    of another size than those of the calibration and mirrored.
    """
    if manifest.model.name.startswith("digits"):
        inputs = load_split()[1].inputs
        return HeldOut(inputs, f"the {len(inputs)} test images of digits")
    recipe = manifest.preprocessing
    assert recipe is not None
    crops = []
    for photograph in photographs():
        image = ImageOps.mirror(photograph.image)
        side = round(min(image.size) * CROP)
        for top in np.linspace(0, image.height - side, DOWN).astype(int):
            for left in np.linspace(0, image.width - side, ACROSS).astype(int):
                box = (int(left), int(top), int(left) + side, int(top) + side)
                crops.append(preprocess(image.crop(box), recipe))
    detail = f"{len(crops)} mirrored crops of two photographs, of another size than calibration's"
    return HeldOut(np.stack(crops), detail)

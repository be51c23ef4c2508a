"""The inputs that candidates are judged on: the user's images, or real ones held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from lrn_deploy.backends.protocol import Array
from lrn_deploy.bundle import Manifest
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.collect import collect, evenly
from lrn_deploy.images.decode import decode
from lrn_deploy.images.examples import photographs
from lrn_deploy.parity.inputs import random_set
from lrn_deploy.workflows.optimize.calibration import DIGITS, crops, prepare_images

MAX_IMAGES = 512
"""A folder of more is sampled evenly."""
MIN_IMAGES = 8
_RANDOM_ROWS = 64
_CROPS = ((0.9, 2, 1), (0.65, 4, 2), (0.45, 5, 3))
"""Of the mirrored photographs; calibration crops them elsewhere, and not mirrored."""


@dataclass(frozen=True)
class Evaluation:
    """Inputs to judge candidates on.

    Attributes:
        feeds: One array for each input, each of shape (N, *).
        detail: What they are.
    """

    feeds: dict[str, Array]
    detail: str

    @property
    def count(self) -> int:
        """Number of inputs."""
        return len(next(iter(self.feeds.values())))


def evaluation_inputs(manifest: Manifest, folder: Path | None = None) -> Evaluation:
    """The inputs to judge candidates on.

    Args:
        manifest: The network's.
        folder: Images of the user's, of which at most :data:`MAX_IMAGES` are taken. Without it
            the digit networks take the digits that were held out from training, and others crops
            of scikit-learn's two photographs, mirrored; a network that takes no images takes
            seeded random numbers.

    Raises:
        BadInputError: If the folder cannot be used, or there are too few images in it.
        MissingError: If there is no folder and scikit-learn is not installed.
    """
    preprocessing = manifest.preprocessing
    if preprocessing is None:
        if folder is not None:
            raise BadInputError(
                f"'{manifest.model.name}' {manifest.no_image}.",
                "Leave --images out.",
            )
        drawn = random_set(manifest.inputs, None, _RANDOM_ROWS, seed=1)
        return Evaluation(drawn.feeds, f"{_RANDOM_ROWS} seeded random inputs")
    images, detail = _own(manifest) if folder is None else _from_folder(folder)
    (spec,) = manifest.inputs
    return Evaluation({spec.name: prepare_images(images, preprocessing)}, detail)


def _own(manifest: Manifest) -> tuple[list[Image.Image], str]:
    if manifest.model.origin == "zoo" and manifest.model.factory in DIGITS:
        from lrn_deploy.models.digits_data import load_split

        held_out = [Image.fromarray(image) for image in load_split()[1].images]
        return held_out, f"the {len(held_out)} digits held out from training"
    mirrored = [ImageOps.mirror(photograph.image) for photograph in photographs()]
    taken = [crop for image in mirrored for crop in crops(image, _CROPS)]
    return taken, f"{len(taken)} crops of two mirrored photographs"


def _from_folder(folder: Path) -> tuple[list[Image.Image], str]:
    hint = f"Give a folder of at least {MIN_IMAGES} images like those to come, with --images DIR."
    if not folder.is_dir():
        raise BadInputError(f"There is no folder '{folder}' to take images from.", hint)
    sources = collect([str(folder)])
    if len(sources) < MIN_IMAGES:
        raise BadInputError(
            f"The folder '{folder}' holds {len(sources)} images, too few to judge by.", hint
        )
    chosen = evenly(sources, MAX_IMAGES)
    images = [decode(source.content, name=source.name).image for source in chosen]
    return images, f"{len(chosen)} of {len(sources)} images of the user's"

"""Real images for checks and demonstrations, which scikit-learn ships."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from PIL import Image

from lrn_deploy.errors import MissingError
from lrn_deploy.images.decode import DecodedImage, decode


def photographs() -> tuple[DecodedImage, ...]:
    """Two photographs, ``china.jpg`` and ``flower.jpg``, 640 x 427 pixels each, RGB.

    Raises:
        MissingError: If scikit-learn is not installed.
    """
    folder = _datasets() / "images"
    return tuple(decode(folder / name, name=name) for name in ("china.jpg", "flower.jpg"))


def digits(count: int = 10) -> tuple[DecodedImage, ...]:
    """The first ``count`` handwritten digits that the digit networks were not trained on.

    Returns:
        Grey images of 8 x 8 pixels, bright strokes on black, whose names say what they show:
        ``digit-000-shows-4.png``.

    Raises:
        MissingError: If scikit-learn is not installed.
    """
    from lrn_deploy.models.digits_data import load_split

    _, held_out = load_split()
    return tuple(
        DecodedImage(f"digit-{index:03d}-shows-{label}.png", Image.fromarray(image))
        for index, (image, label) in enumerate(
            zip(held_out.images[:count], held_out.labels[:count], strict=True)
        )
    )


def _datasets() -> Path:
    """scikit-learn's folder of data sets, found without the second that importing it takes."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingError(
            "The sample images need scikit-learn, which is not installed.",
            "Install it with: pip install 'lrn-deploy[samples]'",
        )
    return Path(spec.origin).parent / "datasets"

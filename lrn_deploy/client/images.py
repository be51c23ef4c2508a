"""Images as files in memory, from whatever a caller has."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.errors import BadInputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    Image = str | Path | bytes | Picture
else:
    Image = object  # PIL is not loaded for a type's sake


def image_files(images: Iterable[Image]) -> tuple[tuple[str, bytes], ...]:
    """Name and content of each image.

    Args:
        images: Paths of files, bytes of files, or pictures of PIL, which become PNG.

    Raises:
        BadInputError: If one cannot be read, or is none of these.
    """
    return tuple(_file(image, at) for at, image in enumerate(images))


def _file(image: Image, at: int) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return f"image-{at}", _checked(image, f"Image {at}")
    if isinstance(image, str | Path):
        try:
            return str(image), _checked(Path(image).read_bytes(), f"'{image}'")
        except OSError as error:
            raise BadInputError(
                f"'{image}' cannot be read: {error.strerror}.", "Check the path."
            ) from error
    if not hasattr(image, "save"):
        raise BadInputError(
            f"Image {at} is a {type(image).__name__}.",
            "Give a path, the bytes of an image file, or a picture of PIL.",
        )
    written = io.BytesIO()
    image.save(written, "PNG")
    return f"image-{at}.png", written.getvalue()


def _checked(content: bytes, name: str) -> bytes:
    if not content:
        raise BadInputError(f"{name} is empty.", "Give the bytes of an image file.")
    return content

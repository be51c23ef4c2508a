"""An image file becomes 8-bit pixels, or one sentence that says why it cannot.

Whatever a file holds ends as an 8-bit ``RGB`` or ``L`` image, upright:

- EXIF orientation is applied; of an animation or a file of several pages the first is taken;
- transparency is composited on white;
- 16-bit grey is scaled (65535 becomes 255), never clipped;
- CMYK becomes RGB without its colour profile, ``(1 - C)(1 - K)``.

A file's size is limited before it is read, and its pixels before they are decoded, so a small file
that claims to be huge costs no memory. Truncated files are refused: half an image would be
classified as if it were whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lrn_deploy.errors import BadInputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The only decoders of Pillow that are ever tried."""

_READS = "Images may be JPEG, PNG, WebP, BMP, GIF, TIFF or PPM."
_DAMAGED = "Copy or download the file again, or open and save it in an image editor."

_PILLOW_MAX_PIXELS = 178_956_970  # twice PIL.Image.MAX_IMAGE_PIXELS, where Image.open refuses
_ORIENTATION = 0x0112
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image upright (EXIF 2.3, tag 0x0112)."""


@dataclass(frozen=True)
class ImageLimits:
    """What is taken in at most.

    Attributes:
        max_bytes: Size of the file.
        max_pixels: Width times height of the image, at most Pillow's own 178,956,970.

    Raises:
        BadInputError: If one of them is out of range.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 64_000_000

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels"):
            if getattr(self, name) < 1:
                raise BadInputError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.max_pixels > _PILLOW_MAX_PIXELS:
            raise BadInputError(
                f"max_pixels may be {_PILLOW_MAX_PIXELS:,} at most, got {self.max_pixels:,}.",
                "Scale larger images down first.",
            )


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True)
class DecodedImage:
    """An upright 8-bit image.

    Attributes:
        name: What messages call it.
        image: Pillow image of mode ``RGB`` or ``L``.
        note: What was left out of it, ``only the first frame was used`` for instance, or empty.
    """

    name: str
    image: Image.Image
    note: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, after rotation."""
        return self.image.size

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pixels as uint8, of shape (H, W, 3) or (H, W)."""
        return np.asarray(self.image)


def decode(
    content: bytes | Path, *, name: str = "", limits: ImageLimits = DEFAULT_LIMITS
) -> DecodedImage:
    """Decode an image file.

    Args:
        content: The file's bytes, or its path.
        name: What messages call it; a path's own name if empty.
        limits: What is taken in at most.

    Raises:
        BadInputError: If it cannot be read, is too large, is no image of a known format, is
            damaged or truncated, or has pixels without a known range.
    """
    if isinstance(content, Path):
        name = name or str(content)
        content = _read(content, name, limits)
    name = name or "image"
    if not content:
        raise BadInputError(f"'{name}' is empty.", _DAMAGED)
    if len(content) > limits.max_bytes:
        raise BadInputError(
            f"'{name}' is larger than {limits.max_bytes:,} bytes.",
            "Scale the image down; the network sees a few hundred pixels a side.",
        )
    with _open(content, name, limits) as file:
        try:
            note = _note(file)
            file.load()
            image = _eight_bits(_upright(file), name)
        except BadInputError:
            raise
        except Exception as error:  # decoders raise whatever their parser trips over
            raise BadInputError(
                f"'{name}' is damaged or cut short: {_reason(error)}.", _DAMAGED
            ) from error
    return DecodedImage(name, image, note)


def read_bounded(stream: BinaryIO, limits: ImageLimits) -> bytes:
    """The bytes of ``stream``, or the first ``max_bytes + 1`` of more, which decode refuses."""
    return stream.read(limits.max_bytes + 1)


def _read(path: Path, name: str, limits: ImageLimits) -> bytes:
    try:
        with path.open("rb") as stream:
            return read_bounded(stream, limits)
    except FileNotFoundError as error:
        raise BadInputError(f"'{name}' does not exist.", "Check the path.") from error
    except IsADirectoryError as error:
        raise BadInputError(
            f"'{name}' is a folder, not an image.", "Name one of the files in it."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInputError(
            f"'{name}' cannot be read: {reason}.", "Check its permissions and its drive."
        ) from error


def _open(content: bytes, name: str, limits: ImageLimits) -> Image.Image:
    """Read the header only, and refuse what it announces if that is too large."""
    try:
        file = Image.open(BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        raise _too_large(int(found[1]) if found else _PILLOW_MAX_PIXELS, name, limits) from error
    except UnidentifiedImageError as error:
        raise BadInputError(
            f"'{name}' is not an image, or not of a format that can be read.", _READS
        ) from error
    except Exception as error:  # as in decode
        raise BadInputError(
            f"'{name}' has a damaged header: {_reason(error)}.", _DAMAGED
        ) from error
    pixels = file.width * file.height
    if pixels > limits.max_pixels:
        raise _too_large(pixels, name, limits)
    return file


def _too_large(pixels: int, name: str, limits: ImageLimits) -> BadInputError:
    return BadInputError(
        f"'{name}' has {pixels:,} pixels, more than {limits.max_pixels:,}.",
        "Scale the image down, or raise the limit on pixels if you trust the file.",
    )


def _note(file: Image.Image) -> str:
    # A phone's photograph may carry a gain map or a thumbnail as a second picture (MPO): that is
    # nothing that the user would miss.
    several = getattr(file, "is_animated", False) and file.format != "MPO"
    return f"only the first {'page' if file.format == 'TIFF' else 'frame'} was used" * several


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, if it has one that can be read.

    ImageOps.exif_transpose would do, but it writes the remaining EXIF data anew, and so refuses
    photographs for flaws in it that do not matter here. TIFF is upright already: Pillow turns it
    while loading and then forgets its orientation.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # as in decode; damaged metadata does not make the pixels any worse
        return image
    method = _TO_UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Convert to mode ``RGB`` or ``L``."""
    mode = image.mode
    if mode.startswith("I"):
        return _from_integers(image, name)
    if mode == "F":
        raise BadInputError(
            f"'{name}' has floating-point pixels, whose range is not known.",
            "Save it with 8 or 16 bits per channel.",
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        grey = mode in ("1", "L", "LA", "La")
        return Image.alpha_composite(white, rgba).convert("L" if grey else "RGB")
    return image.convert("L" if mode in ("1", "L") else "RGB")


def _from_integers(image: Image.Image, name: str) -> Image.Image:
    """Grey of 16 bits, in Pillow's modes ``I;16``, ``I;16B`` and ``I`` (32 bits), scaled to 8."""
    values: NDArray[Any] = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise BadInputError(
            f"'{name}' has pixel values from {low} to {high}, outside 16 bits.",
            "Save it with 8 or 16 bits per channel.",
        )
    # 65535 = 257 * 255, so this is the nearest integer to value * 255 / 65535.
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__

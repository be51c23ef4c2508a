"""Which images are meant by files, folders, globs and ``-`` on a command line."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import DEFAULT_LIMITS, ImageLimits, read_bounded

SUFFIXES = frozenset(
    f".{name}"
    for names in ("jpg jpeg jpe jfif", "png webp bmp gif tif tiff", "ppm pgm pbm pnm")
    for name in names.split()
)
"""What the images of a folder are called; a file that is named itself may be called anything."""

STDIN = "-"


@dataclass(frozen=True)
class ImageSource:
    """An image that has not been decoded, and if it is a file not even been read.

    Attributes:
        name: What it is called in results and messages.
        content: The file's path, or its bytes.
    """

    name: str
    content: Path | bytes


def collect(
    arguments: Sequence[str],
    *,
    stdin: BinaryIO | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> list[ImageSource]:
    """The images that the arguments name, in their order.

    A folder stands for the images directly in it, sorted by name, without hidden ones; a glob
    (``**`` reaches into subfolders) for the files that match, sorted; ``-`` for one image on
    standard input. A file that exists is taken as it is, whatever its name.

    Args:
        arguments: Files, folders, globs or ``-``.
        stdin: Where ``-`` is read from.
        limits: Bounds what is read from ``stdin``.

    Raises:
        BadInputError: If something does not exist, a folder has no images, a glob matches
            nothing, ``-`` is given twice or without ``stdin``, or nothing is given at all.
    """
    if not arguments:
        raise BadInputError(
            "No image is given.", "Name image files, folders or globs, or - for standard input."
        )
    if arguments.count(STDIN) > 1:
        raise BadInputError(
            "Standard input (-) is given more than once.", "It can hold one image only."
        )
    return [source for word in arguments for source in _expand(word, stdin, limits)]


def evenly(sources: Sequence[ImageSource], most: int) -> list[ImageSource]:
    """At most so many of some images, spread evenly over all of them."""
    count = min(len(sources), most)
    return [sources[at * len(sources) // count] for at in range(count)]


def _expand(word: str, stdin: BinaryIO | None, limits: ImageLimits) -> Iterator[ImageSource]:
    if word == STDIN:
        if stdin is None:
            raise BadInputError("There is no standard input to read an image from.")
        yield ImageSource("stdin", read_bounded(stdin, limits))
        return
    try:
        for path in _paths(word):
            yield ImageSource(str(path), path)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"'{word}' cannot be read: {reason}.", "Check the path.") from error


def _paths(word: str) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        return _images_of(path)
    if path.exists():
        return [path]
    if path.is_symlink():
        raise BadInputError(f"'{word}' is a link to a file that does not exist.", "Repair it.")
    if not glob.has_magic(word):
        raise BadInputError(f"'{word}' does not exist.", _suggestion(path))
    # Path.glob takes no absolute patterns.
    found = (Path(match) for match in glob.glob(word, recursive=True))  # noqa: PTH207
    matches = sorted(match for match in found if not match.is_dir())
    if not matches:
        raise BadInputError(
            f"No file matches '{word}'.", "Check the pattern; ** reaches into subfolders."
        )
    return matches


def _images_of(folder: Path) -> list[Path]:
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
    if not images:
        raise BadInputError(
            f"The folder '{folder}' has no images.",
            f"Subfolders are not searched; for theirs write '{folder / '**' / '*.jpg'}'.",
        )
    return images


def _suggestion(path: Path) -> str:
    """The nearest name that does exist, if there is one."""
    if not path.parent.is_dir():
        return f"There is no folder '{path.parent}' either."
    near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], 1)
    return f"Did you mean '{path.parent / near[0]}'?" if near else "Check the path."

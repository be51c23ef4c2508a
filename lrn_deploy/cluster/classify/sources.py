"""Which images there are: files here and elsewhere, and the rows of Parquet files.

Each has a name of its own, under which it has one row in the results, whatever it was found by.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lrn_deploy.cluster.classify.reach import reaching
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.collect import STDIN, SUFFIXES, ImageSource, collect
from lrn_deploy.images.decode import ImageLimits, read_bounded
from lrn_deploy.stores import is_url

PARQUET = ".parquet"


@dataclass(frozen=True)
class Place:
    """Where an image is.

    Attributes:
        file: Path or URL of the image, or of the Parquet file that has it in a row.
        row: Its row there, from 0; -1 for a file of its own.
        group: The row group that the row is in, which is read as a whole.
        first: The first row of that group.
    """

    file: str
    row: int = -1
    group: int = 0
    first: int = 0

    @property
    def name(self) -> str:
        """What it is called in the results: the path, or the Parquet file's with ``#`` and row."""
        legible = self.file.encode("utf-8", "backslashreplace").decode()  # a path may be any bytes
        return legible if self.row < 0 else f"{legible}#{self.row}"


def find(words: Sequence[str], column: str) -> list[Place]:
    """The images that words name, each once, in their order.

    A word is an image file, a folder (the images or Parquet files directly in it), a quoted glob,
    a Parquet file, or any of these as a URL that fsspec opens, ``s3://bucket/folder`` for instance.

    Args:
        words: Files, folders, globs and URLs.
        column: The Parquet files' column of images.

    Raises:
        BadInputError: If something does not exist, has no images, or lacks the column.
    """
    found: dict[str, Place] = {}
    for word in words:
        if word == STDIN:
            raise BadInputError(
                "Standard input cannot be read by several machines.", "Name files or folders."
            )
        for file in _remote(word) if is_url(word) else _local(word):
            places = _rows(file, column) if file.endswith(PARQUET) else [Place(file)]
            found.update((place.name, place) for place in places)
    return list(found.values())


def _local(word: str) -> list[str]:
    tables = sorted(Path(word).glob(f"*{PARQUET}"))  # of a folder
    found = tables or [Path(source.name) for source in collect([word])]
    return [str(file.absolute()) for file in found]


def _remote(url: str) -> list[str]:
    """The files that a URL names: itself, what matches it, or what lies in it."""
    from fsspec.core import url_to_fs

    scheme = url.partition("://")[0]
    with reaching(url, "read"):
        system, path = url_to_fs(url)
        if glob.has_magic(url):
            files = system.glob(path)
        elif system.isfile(path):
            files = [path]
        else:
            files = [
                str(entry["name"])
                for entry in system.ls(path, detail=True)
                if entry["type"] == "file" and _wanted(str(entry["name"]))
            ]
    if not files:
        raise BadInputError(f"'{url}' has no images.", "Name a folder of images or Parquet files.")
    return [f"{scheme}://{str(file).removeprefix(f'{scheme}://')}" for file in sorted(files)]


def _wanted(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower() in SUFFIXES | {PARQUET} and not path.name.startswith((".", "_"))


def _rows(file: str, column: str) -> Iterator[Place]:
    import fsspec
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        with reaching(file, "read"), fsspec.open(file) as opened:
            table = ParquetFile(opened)
            names = table.schema_arrow.names
            counts = [
                table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)
            ]
    except ArrowInvalid as error:
        raise BadInputError(
            f"'{file}' cannot be read as Parquet: {error}.", "Check the file."
        ) from error
    if column not in names:
        raise BadInputError(
            f"'{file}' has no column '{column}'; it has {', '.join(names) or 'none'}.",
            "Name the column of images with --column.",
        )
    first = 0
    for group, count in enumerate(counts):
        for row in range(first, first + count):
            yield Place(file, row, group, first)
        first += count


def written(places: Sequence[Place]) -> str:
    """Places as text, for a process elsewhere; :func:`read_back` makes them of it."""
    return json.dumps([list(asdict(place).values()) for place in places])


def read_back(text: str) -> list[Place]:
    """What :func:`written` has written."""
    return [Place(*values) for values in json.loads(text)]


def opened(places: Sequence[Place], column: str, limits: ImageLimits) -> Iterator[ImageSource]:
    """The images at some places, in their order; a Parquet file's row group is read once.

    Args:
        places: Where they are.
        column: The Parquet files' column of images: bytes, a path, or both in a struct.
        limits: Bounds what is read of a file that is elsewhere.
    """
    groups: dict[tuple[str, int], Any] = {}
    for place in places:
        if place.row < 0:
            yield ImageSource(place.name, _content(place.file, limits))
            continue
        key = (place.file, place.group)
        if key not in groups:
            groups.clear()  # they come in order: one is in memory
            groups[key] = _group(place, column)
        value = groups[key][place.row - place.first].as_py()
        yield ImageSource(place.name, _value(value, place.file, limits))


def _group(place: Place, column: str) -> Any:
    import fsspec
    from pyarrow.parquet import ParquetFile

    with reaching(place.file, "read"), fsspec.open(place.file) as file:
        return ParquetFile(file).read_row_group(place.group, columns=[column]).column(column)


def _value(value: object, file: str, limits: ImageLimits) -> Path | bytes:
    """What a row has for an image; nothing at all is no image, as the decoder will say."""
    if isinstance(value, Mapping):  # as datasets of Hugging Face's have it
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        near = value if is_url(value) or Path(value).is_absolute() else _beside(file, value)
        return _content(near, limits)
    return value if isinstance(value, bytes) else b""


def _beside(file: str, name: str) -> str:
    return f"{file.rpartition('/')[0]}/{name}"


def _content(file: str, limits: ImageLimits) -> Path | bytes:
    """A file here as its path; the bytes of one elsewhere, no more than may be decoded."""
    if not is_url(file):
        return Path(file)
    import fsspec

    with reaching(file, "read"):
        try:
            with fsspec.open(file) as stream:
                return read_bounded(stream, limits)
        except FileNotFoundError:
            return b""

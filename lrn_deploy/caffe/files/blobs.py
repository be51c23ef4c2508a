"""Weights as they lie in a caffemodel: BlobProto messages as NumPy arrays over the file's bytes."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.caffe.files.place import Place
from lrn_deploy.caffe.files.wire import FIXED32, FIXED64, LENGTH, VARINT, Wire, signed
from lrn_deploy.errors import BadInputError

Array = NDArray[Any]
Shape = tuple[int, ...]

MAX_BYTES = 2**31 - 1
"""Largest file: no protobuf message may be longer."""

_LEGACY = {1: 0, 2: 1, 3: 2, 4: 3}  # num, channels, height, width
_DATA, _SHAPE, _DOUBLES, _RAW_TYPE, _RAW = 5, 7, 8, 10, 11
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # NVCaffe's Type: DOUBLE, FLOAT, FLOAT16


@dataclass(frozen=True)
class Blob:
    """One array of weights.

    Attributes:
        data: All its values in one axis, read only; a view of the file's bytes where it can be.
        shape: Its shape as the file says it; of four axes if it says so in the old way.
        legacy: Whether it does.
    """

    data: Array
    shape: Shape
    legacy: bool

    def fits(self, shape: Shape) -> bool:
        """Whether Caffe takes it for weights of ``shape``: an old shape may have leading ones."""
        if not self.legacy:
            return self.shape == shape
        return self.shape == (1,) * (4 - len(shape)) + shape


def map_file(path: Path) -> Wire:
    """The bytes of a caffemodel or binaryproto, mapped into memory and not read.

    Raises:
        BadInputError: If it cannot be read, is empty or too large, or plainly something else.
    """
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size == 0:
                raise place.wrong("the file is empty.", "Fetch it again.")
            if size > MAX_BYTES:
                raise place.wrong(
                    f"{size:,} bytes, and Caffe's format ends at 2 GiB.",
                    "Is it the file that you mean?",
                )
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"Cannot read '{path}': {reason}.", "Check the path.") from error
    start = bytes(data[:64])
    for magic, what, hint in _OTHERS:
        if start.startswith(magic):
            raise place.wrong(f"this is {what}, no caffemodel.", hint)
    return Wire(data, place)


_OTHERS = (
    (b"\x89HDF", "an HDF5 file", "Save the network in Caffe with 'snapshot_format: BINARYPROTO'."),
    (b"version https://git-lfs", "a pointer to a file in Git LFS", "Fetch it with 'git lfs pull'."),
    (b"<", "a page of the web", "Fetch the file itself."),
    (b"PK\x03\x04", "a zip archive", "Take the caffemodel out of it."),
    (b"\x1f\x8b", "a gzip file", "Decompress it."),
    (
        b"\x93NUMPY",
        "a NumPy array",
        "Give the caffemodel second, and a mean file with --mean-file.",
    ),
    (b"name:", "a prototxt", "Give the prototxt first and the caffemodel second."),
    (b"layer", "a prototxt", "Give the prototxt first and the caffemodel second."),
    (b"input", "a prototxt", "Give the prototxt first and the caffemodel second."),
    (b"#", "a text", "Give the prototxt first and the caffemodel second."),
)


def read_blob(wire: Wire, start: int, end: int, what: str) -> Blob:
    """The BlobProto from ``start`` to ``end``.

    Args:
        wire: The file.
        start: Its first byte.
        end: The byte after its last.
        what: What errors call it, ``blob 0 of 'conv1'`` for instance.

    Raises:
        BadInputError: If its values are not as many as its shape says, or of an unknown type.
    """
    legacy, dims, parts = [0, 0, 0, 0], None, []
    raw, raw_type = None, 1
    for number, wire_type, content in wire.walk(start, end):
        if number in _LEGACY and wire_type == VARINT:
            legacy[_LEGACY[number]] = signed(content)
        elif number == _SHAPE and wire_type == LENGTH:
            dims = _dims(wire, *content)
        elif number == _DATA and wire_type in (LENGTH, FIXED32):
            parts.append(_array(wire, content, "<f4", what))
        elif number == _DOUBLES and wire_type in (LENGTH, FIXED64):
            parts.append(_array(wire, content, "<f8", what))
        elif number == _RAW_TYPE and wire_type == VARINT:
            raw_type = content
        elif number == _RAW and wire_type == LENGTH:
            raw = content
    if raw is not None:
        if raw_type not in _RAW_TYPES:
            raise wire.place.wrong(f"{what} has raw data of the unknown type {raw_type}.")
        parts = [_array(wire, raw, _RAW_TYPES[raw_type], what)]
    is_legacy = any(legacy)  # as Caffe asks: these win over a shape beside them
    shape = tuple(legacy) if is_legacy else dims or ()
    data = parts[0] if len(parts) == 1 else _joined(parts)
    if any(axis < 0 for axis in shape) or math.prod(shape) != data.size:
        raise wire.place.wrong(
            f"{what} has {data.size:,} values for a shape of {_words(shape)}.",
            "The file is damaged, or was written by something else than Caffe.",
        )
    return Blob(data, shape, is_legacy)


def _array(wire: Wire, span: tuple[int, int], dtype: str, what: str) -> Array:
    start, end = span
    size = np.dtype(dtype).itemsize
    if (end - start) % size:
        raise wire.place.wrong(
            f"{what} has {end - start:,} bytes of values of {size} bytes each.",
            "The file is damaged.",
        )
    return np.frombuffer(wire.data, dtype, (end - start) // size, start)


def _joined(parts: list[Array]) -> Array:
    if not parts:
        return np.empty(0, np.float32)
    joined = np.concatenate(parts)
    joined.flags.writeable = False
    return joined


def _dims(wire: Wire, start: int, end: int) -> Shape:
    dims: list[int] = []
    for number, wire_type, content in wire.walk(start, end):
        if number == 1 and wire_type == LENGTH:
            dims += wire.packed(*content)
        elif number == 1 and wire_type == VARINT:
            dims.append(signed(content))
    return tuple(dims)


def _words(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "one value"

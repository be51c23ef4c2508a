"""Weights that an ONNX file keeps in files beside it: mapped, and only from its own folder.

An entry of a model names a file, and a model may come from anywhere. So a location is followed from
the model's folder downwards, one component after the other and never over a link, and nothing of
an entry is believed before it was checked (ONNX, "External Data"; CVE-2026-27489, CVE-2026-34445).
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lrn_deploy.errors import BadInputError

LIMIT = 2**31 - 1
"""Bytes of weights and of one file of them: what an ONNX file, which a bundle has, can hold."""

_ENTRIES = frozenset({"location", "offset", "length", "checksum"})
_TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "<f4",
    onnx.TensorProto.DOUBLE: "<f8",
    onnx.TensorProto.FLOAT16: "<f2",
    onnx.TensorProto.INT8: "|i1",
    onnx.TensorProto.UINT8: "|u1",
    onnx.TensorProto.INT16: "<i2",
    onnx.TensorProto.INT32: "<i4",
    onnx.TensorProto.INT64: "<i8",
    onnx.TensorProto.BOOL: "|b1",
}


@dataclass
class ExternalFiles:
    """The files beside a model, each opened once.

    Attributes:
        folder: The model's.
    """

    folder: Path
    _maps: dict[str, mmap.mmap] = field(default_factory=dict)
    _taken: int = 0

    def read(self, tensor: onnx.TensorProto) -> NDArray[Any]:
        """The values of a tensor; they lie in the file, which must stay as it is.

        Raises:
            BadInputError: If its entries are not what they may be, or the file is not there, lies
                outside, is a link, or is too short.
        """
        entries: dict[str, str] = {}
        for entry in tensor.external_data:
            if entry.key not in _ENTRIES or entry.key in entries:
                raise self._wrong(tensor, f"has an entry {entry.key!r} that it may not have")
            entries[entry.key] = entry.value
        kind = _TYPES.get(tensor.data_type)
        if kind is None:
            raise self._wrong(tensor, "is of a type that is not read from such files")
        shape = tuple(tensor.dims)
        if min(shape, default=0) < 0:
            raise self._wrong(tensor, f"has the impossible shape {list(shape)}")
        size = math.prod(shape) * np.dtype(kind).itemsize
        offset = self._number(tensor, entries, "offset", 0)
        length = self._number(tensor, entries, "length", size)
        if length != size:
            raise self._wrong(tensor, f"takes {size} bytes and is said to have {length}")
        self._taken += size
        if self._taken > LIMIT:
            raise BadInputError(
                "The network is larger than 2 GiB, more than one ONNX file holds.",
                "Export it in parts; a bundle's graph is one file.",
            )
        if not size:
            return np.zeros(shape, kind)
        whole = self._map(tensor, entries.get("location", ""))
        if offset + size > len(whole):
            raise self._wrong(
                tensor, f"ends at byte {offset + size} of a file of {len(whole)} bytes"
            )
        return np.frombuffer(whole, kind, math.prod(shape), offset).reshape(shape)

    def digests(self) -> list[str]:
        """SHA-256 of each file that was opened, with its name, in the order of the names."""
        return [
            f"{name} {hashlib.sha256(content).hexdigest()}"
            for name, content in sorted(self._maps.items())
        ]

    def _number(
        self, tensor: onnx.TensorProto, entries: dict[str, str], name: str, absent: int
    ) -> int:
        text = entries.get(name)
        if text is None:
            return absent
        if not text.isascii() or not text.isdecimal() or len(text) > 18:
            raise self._wrong(tensor, f"has the {name} {text!r}")
        return int(text)

    def _map(self, tensor: onnx.TensorProto, location: str) -> mmap.mmap:
        if location not in self._maps:
            self._maps[location] = self._opened(tensor, location)
        return self._maps[location]

    def _opened(self, tensor: onnx.TensorProto, location: str) -> mmap.mmap:
        parts = [part for part in location.split("/") if part != "."]
        if not location.isprintable() or "\\" in location or not all(parts) or ".." in parts:
            raise self._wrong(tensor, f"lies in {location!r}, outside the model's folder")
        folder = -1
        try:
            folder = os.open(self.folder, os.O_RDONLY)
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            # Without O_NONBLOCK a pipe of that name would be waited for.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            file = os.open(parts[-1] if parts else "", flags, dir_fd=folder)
        except OSError as error:
            if self._is_link(parts):
                raise self._link(tensor, location) from error
            reason = (error.strerror or str(error)).lower()
            raise self._wrong(
                tensor,
                f"lies in '{location}', which cannot be read: {reason}",
                "Put the file that was saved with the model beside it.",
            ) from error
        finally:
            if folder >= 0:
                os.close(folder)
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                raise self._wrong(tensor, f"lies in '{location}', which is no file")
            if about.st_nlink > 1:
                raise self._link(tensor, location)
            if about.st_size > LIMIT:
                raise BadInputError(
                    f"'{location}' is larger than 2 GiB, more than one ONNX file holds.",
                    "Export the network in parts; a bundle's graph is one file.",
                )
            if not about.st_size:
                raise self._wrong(tensor, f"lies in '{location}', which is empty")
            return mmap.mmap(file, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(file)

    def _is_link(self, parts: list[str]) -> bool:
        """Whether one of the components is a link: only for the sentence."""
        with suppress(OSError):
            return any(
                self.folder.joinpath(*parts[:end]).is_symlink() for end in range(1, len(parts) + 1)
            )
        return False

    def _link(self, tensor: onnx.TensorProto, location: str) -> BadInputError:
        return self._wrong(
            tensor,
            f"lies in '{location}', which is a link",
            "Links are not followed. Copy the model with its weights: cp -rL FOLDER COPY",
        )

    @staticmethod
    def _wrong(tensor: onnx.TensorProto, what: str, hint: str = "") -> BadInputError:
        return BadInputError(
            f"The weight '{tensor.name}' {what}.",
            hint or "Save the model again, with its weights inside or beside it.",
        )

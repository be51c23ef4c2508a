"""Tensors as the protocol has them: a type's name, a shape, and little-endian bytes in C order.

numpy has no bfloat16. Arrays of ml_dtypes' bfloat16 are sent as BF16 as they are, and so are
float32 arrays that are marked so (:class:`Tensor`), rounded to the nearest; what comes as BF16 is
given as float32, which holds each of its values exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.client.errors import ProtocolError
from lrn_deploy.datatypes import NAMES, NUMPY
from lrn_deploy.errors import BadInputError

Array = NDArray[Any]
Bytes = bytes | memoryview
BF16, BYTES = "BF16", "BYTES"
_LENGTH = 4  # bytes before each element of BYTES


@dataclass(frozen=True)
class Tensor:
    """An array with the type that it is sent as.

    Attributes:
        array: Its elements, of any shape; strings and bytes are BYTES.
        datatype: The protocol's name of the type. Empty for the array's own; ``BF16`` rounds
            float32 to the nearest bfloat16, ties to even.

    Raises:
        BadInputError: If the protocol has no such type, or it is not the array's.
    """

    array: Array
    datatype: str = ""

    def __post_init__(self) -> None:
        own = datatype_of(self.array)
        wanted = self.datatype or own
        if wanted != own and not (wanted == BF16 and self.array.dtype == np.float32):
            raise BadInputError(
                f"An array of {self.array.dtype} cannot be sent as {wanted}.",
                "Convert it first with astype.",
            )
        object.__setattr__(self, "datatype", wanted)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape

    def to_bytes(self) -> Bytes:
        """Its elements in C order and little-endian, without a copy where they lie so."""
        if self.datatype == BYTES:
            return pack(_each(self.array))
        if self.datatype == BF16:
            halves = (
                _rounded(self.array) if self.array.dtype == np.float32 else self.array.view("<u2")
            )
            return _flat(np.ascontiguousarray(halves))
        return _flat(np.ascontiguousarray(self.array, NUMPY[self.datatype]))

    def to_json(self) -> list[Any]:
        """Its elements in a flat list, as JSON has them.

        Raises:
            BadInputError: If JSON has no form for its type.
        """
        if self.datatype in (BF16, "FP16"):
            raise BadInputError(
                f"{self.datatype} cannot be sent as JSON.", "Send it binary, or as FP32."
            )
        if self.datatype == BYTES:
            try:
                return [element.decode() for element in _each(self.array)]
            except UnicodeDecodeError as error:
                raise BadInputError(
                    "Bytes that are no UTF-8 cannot be sent as JSON.", "Send them binary."
                ) from error
        values: list[Any] = self.array.ravel().tolist()
        return values


def as_tensor(value: Array | Tensor) -> Tensor:
    """What a caller gave as a tensor."""
    return value if isinstance(value, Tensor) else Tensor(np.asarray(value))


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's type.

    Raises:
        BadInputError: If it has none.
    """
    dtype = array.dtype
    if dtype.kind in "USO":
        return BYTES
    if dtype.name == "bfloat16":  # ml_dtypes'
        return BF16
    name = NAMES.get(dtype.newbyteorder("<")) or NAMES.get(dtype)
    if name is None:
        raise BadInputError(
            f"The protocol has no type for an array of {dtype}.",
            f"Convert it to one of {', '.join([*NAMES.values(), BF16, BYTES])}.",
        )
    return name


def from_bytes(content: Bytes, datatype: str, shape: Sequence[int], name: str) -> Array:
    """The array that an answer holds as bytes; it may share their memory, and is then read-only.

    Raises:
        ProtocolError: If they are no such tensor.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        elements = unpack(content, name)
        if len(elements) != count:
            raise ProtocolError(
                f"Output '{name}' has {len(elements)} elements, its shape {list(shape)} says "
                f"{count}."
            )
        return _objects(elements, shape)
    dtype = np.dtype("<u2") if datatype == BF16 else NUMPY.get(datatype)
    if dtype is None:
        raise ProtocolError(f"Output '{name}' is of type '{datatype}', which is not known.")
    if len(content) != count * dtype.itemsize:
        raise ProtocolError(
            f"Output '{name}' has {len(content)} bytes; {datatype} of shape {list(shape)} takes "
            f"{count * dtype.itemsize}."
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    if datatype == BF16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def from_json(values: Sequence[Any], datatype: str, shape: Sequence[int], name: str) -> Array:
    """The array that an answer holds as JSON, nested or flat.

    Raises:
        ProtocolError: If it is no such tensor.
    """
    try:
        if datatype == BYTES:
            flat = np.array(values, object).ravel()
            return _objects([str(value).encode() for value in flat], shape)
        dtype = np.dtype(np.float32) if datatype == BF16 else NUMPY[datatype]
        return np.array(values, dtype).reshape(tuple(shape))
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise ProtocolError(
            f"Output '{name}' is no {datatype} of shape {list(shape)}: {error}."
        ) from error


def pack(elements: Sequence[bytes]) -> bytes:
    """The protocol's BYTES: each element as its length (uint32, little-endian) and itself."""
    return b"".join(len(element).to_bytes(_LENGTH, "little") + element for element in elements)


def unpack(content: Bytes, name: str) -> list[bytes]:
    """The elements of BYTES.

    Raises:
        ProtocolError: If an element is cut short.
    """
    elements = []
    at = 0
    while at < len(content):
        start = at + _LENGTH
        at = start + int.from_bytes(content[at:start], "little")
        if start > len(content) or at > len(content):
            raise ProtocolError(f"An element of output '{name}' is cut short.")
        elements.append(bytes(content[start:at]))
    return elements


def _each(array: Array) -> list[bytes]:
    """The elements of an array of strings, bytes, or both.

    Raises:
        BadInputError: If one is neither.
    """
    elements = []
    for value in array.ravel().tolist():
        if not isinstance(value, str | bytes):
            raise BadInputError(
                f"BYTES holds strings and bytes, got {type(value).__name__}.",
                "Convert the elements first.",
            )
        elements.append(value.encode() if isinstance(value, str) else value)
    return elements


def _objects(elements: Sequence[bytes], shape: Sequence[int]) -> Array:
    array: Array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(tuple(shape))


def _flat(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _rounded(array: Array) -> Array:
    """float32 as the bits of the nearest bfloat16, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(array, "<f4").view("<u4")
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    halves: Array = np.where(np.isnan(array), (bits >> 16) | 0x40, nearest).astype("<u2")
    return halves

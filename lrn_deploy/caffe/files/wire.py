"""Protobuf's wire format, of which a caffemodel is made, walked where it lies: nothing is copied.

https://protobuf.dev/programming-guides/encoding/. A message is a run of fields, each a number and a
wire type, then a varint, 4 or 8 bytes, or a length and so many bytes. As in protobuf, a field that
is not known, or comes in another wire type than its kind's, is passed over.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lrn_deploy.caffe.files.place import Place
from lrn_deploy.caffe.files.record import Record, Value, enum_name
from lrn_deploy.caffe.files.schema import ENUMS, MESSAGES, NUMBERED, Field

MAX_FIELDS = 200_000
"""Most fields that are read of one file; a ResNet-152 of 500 layers has 20,000."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


@dataclass
class Wire:
    """Bytes in the wire format.

    Attributes:
        data: All bytes of the file, or of a part of it.
        place: The file.
        fields: How many fields have been read.
    """

    data: memoryview
    place: Place
    fields: int = 0

    def walk(self, start: int, end: int) -> Iterator[tuple[int, int, Any]]:
        """The fields of the message from ``start`` to ``end``: number, wire type and content.

        The content is an int for a varint, and the pair of start and end for anything else.

        Raises:
            BadInputError: If that is no message, or the file has too many fields.
        """
        at = start
        while at < end:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise self.place.wrong(
                    f"more than {MAX_FIELDS:,} fields, which no network has.",
                    "The file is no caffemodel, or damaged.",
                )
            tag, at = self._varint(at, end)
            number, wire_type = tag >> 3, tag & 7
            if number == 0:
                raise self.damaged(at)
            if wire_type == VARINT:
                value, at = self._varint(at, end)
                yield number, wire_type, value
                continue
            if wire_type == LENGTH:
                length, at = self._varint(at, end)
            elif wire_type in (FIXED32, FIXED64):
                length = 4 if wire_type == FIXED32 else 8
            else:
                raise self.damaged(at)
            if length > end - at:
                raise self.damaged(at)
            yield number, wire_type, (at, at + length)
            at += length

    def record(self, message: str, start: int, end: int) -> Record:
        """The message from ``start`` to ``end`` as a record; blobs stay pairs of start and end.

        Raises:
            BadInputError: If that is no message.
        """
        record = Record(message, self.place)
        for number, wire_type, content in self.walk(start, end):
            declared = NUMBERED[message].get(number)
            if declared is None or declared.kind == "any":
                continue
            values = self._values(declared, wire_type, content)
            if declared.repeated:
                record.values.setdefault(declared.name, []).extend(values)
            elif values:
                record.values[declared.name] = [values[-1]]
        return record

    def damaged(self, at: int) -> Exception:
        """The error that the bytes at ``at`` are not in the wire format."""
        return self.place.wrong(
            f"byte {at:,} is not where a field of a caffemodel could begin or end.",
            "The file is damaged, cut short, or no caffemodel: compare its size and SHA-256.",
        )

    def packed(self, start: int, end: int) -> Iterator[int]:
        """The varints of a packed field, each as a signed integer of 64 bits."""
        at = start
        while at < end:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise self.damaged(at)
            value, at = self._varint(at, end)
            yield signed(value)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1), at
            shift += 7
        raise self.damaged(at)

    def _values(self, declared: Field, wire_type: int, content: Any) -> list[Value]:
        kind = declared.kind
        if kind in MESSAGES or kind in ("string", "blob"):
            if wire_type != LENGTH:
                return []
            start, end = content
            if kind == "blob":
                return [Value((start, end), self.place)]
            if kind == "string":
                text = bytes(self.data[start:end]).decode("utf-8", "replace")
                return [Value(text, self.place)]
            return [Value(self.record(kind, start, end), self.place)]
        numbers = self._numbers(kind, wire_type, content)
        return [Value(number, self.place) for number in numbers if number is not None]

    def _numbers(self, kind: str, wire_type: int, content: Any) -> list[Any]:
        if kind in ("float", "double"):
            code, size = ("<f", 4) if kind == "float" else ("<d", 8)
            fixed = FIXED32 if kind == "float" else FIXED64
            if wire_type not in (fixed, LENGTH) or (content[1] - content[0]) % size:
                return []
            self.fields += (content[1] - content[0]) // size
            if self.fields > MAX_FIELDS:
                raise self.damaged(content[0])
            found = [number for (number,) in struct.iter_unpack(code, self.data[slice(*content)])]
            return [number for number in found if math.isfinite(number)]
        if wire_type == LENGTH:
            numbers = list(self.packed(*content))
        elif wire_type == VARINT:
            numbers = [signed(content)]
        else:
            return []
        if kind == "bool":
            return [number != 0 for number in numbers]
        return [_enum(kind, number) for number in numbers] if kind in ENUMS else numbers


def signed(value: int) -> int:
    """A varint as a signed integer of 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _enum(kind: str, number: int) -> str | None:
    try:
        return enum_name(kind, number)
    except ValueError:
        return None  # protobuf keeps it among the unknown fields

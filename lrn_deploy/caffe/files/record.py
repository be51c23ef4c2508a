"""A message of Caffe's with its values in Python's types, each with the place it was read at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from lrn_deploy.caffe.files.place import Place
from lrn_deploy.caffe.files.schema import ENUMS, MESSAGES, Field
from lrn_deploy.caffe.files.text import Node, Scalar

MAX_INT = 2**31 - 1
"""Caffe counts in C's int."""
_LARGEST = {"int": 2**63 - 1, "uint": 2**32 - 1}


@dataclass(frozen=True)
class Value:
    """A value and where it was read.

    Its content is an int, float, bool, str (also an enum's name), :class:`Record`, or bytes-like.
    """

    content: Any
    place: Place


@dataclass
class Record:
    """A message: what was given, with Caffe's default for the rest.

    Attributes:
        message: Its name in ``caffe.proto``.
        place: Where it begins.
        values: What was given, by the fields' names.
    """

    message: str
    place: Place
    values: dict[str, list[Value]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether anything was given for the field."""
        return bool(self.values.get(name))

    def all(self, name: str) -> list[Any]:
        """All that was given for a repeated field."""
        return [value.content for value in self.values.get(name, ())]

    def get(self, name: str) -> Any:
        """What was given for the field, else its default, else None."""
        given = self.values.get(name)
        return given[-1].content if given else default(self.message, name)

    def positive(self, name: str) -> int:
        """An integer of at least 1.

        Raises:
            BadInputError: If it is smaller, too large, or missing.
        """
        number = self.get(name)
        if number is None:
            raise self.place.wrong(f"'{name}' is missing.")
        if not 1 <= number <= MAX_INT:
            raise self.wrong(name, f"'{name}' is {number}, and must be 1 or more.")
        return int(number)

    def part(self, name: str) -> Record:
        """The message in the field ``name``; an empty one, all defaults, if it was not given."""
        given = self.values.get(name)
        return given[-1].content if given else Record(_declared(self, name).kind, self.place)

    def place_of(self, name: str) -> Place:
        """Where the field was given; where the message begins if it was not."""
        given = self.values.get(name)
        return given[-1].place if given else self.place

    def origin(self, name: str) -> str:
        """Where the field's value is from, in words."""
        return self.place_of(name).short if self.has(name) else "Caffe's default"

    def wrong(self, name: str, sentence: str, hint: str = "") -> Exception:
        """The error that ``sentence`` holds where the field ``name`` stands."""
        return self.place_of(name).wrong(sentence, hint)


def default(message: str, name: str) -> Any:
    """Caffe's default of a field, and None if it has none."""
    declared = MESSAGES[message][name]
    if declared.default is None:
        return None
    if declared.kind in ENUMS:
        return declared.default
    return _DEFAULTS[declared.kind](declared.default)


def from_text(node: Node, message: str) -> Record:
    """The record of a text's tree.

    Raises:
        BadInputError: If a field is unknown, given twice, or of another kind; with line and column.
    """
    record = Record(message, node.place)
    for name, nodes in node.fields.items():
        declared = MESSAGES[message].get(name)
        if declared is None:
            raise node.named[name].wrong(
                f"{message} has no field '{name}'.", _unknown_hint(message, name)
            )
        if len(nodes) > 1 and not declared.repeated:
            raise nodes[1].place.wrong(f"'{name}' is given a second time, and one is allowed.")
        record.values[name] = [_value(given, declared) for given in nodes]
    return record


def _value(node: Node | Scalar, declared: Field) -> Value:
    if declared.kind == "any":
        return Value(None, node.place)
    if declared.kind in MESSAGES:
        if isinstance(node, Scalar):
            raise node.place.wrong(f"'{declared.name}' takes a message in braces.")
        return Value(from_text(node, declared.kind), node.place)
    if declared.kind == "blob":
        raise node.place.wrong(
            "the text holds weights.", "Give the weights as a caffemodel, and leave them out here."
        )
    if isinstance(node, Node):
        raise node.place.wrong(f"'{declared.name}' takes one value, not a message.")
    try:
        return Value(_scalar(node, declared.kind), node.place)
    except (ValueError, OverflowError):
        what = _KINDS.get(declared.kind) or " or ".join(list(ENUMS.get(declared.kind, ()))[:6])
        raise node.place.wrong(
            f"'{declared.name}' is '{node.text[:40]}', which is not {what}."
        ) from None


def _scalar(node: Scalar, kind: str) -> Any:
    if kind == "string":
        if node.kind != "string":
            raise ValueError(node.text)
        return node.text
    if node.kind == "string":
        raise ValueError(node.text)
    if kind in ENUMS:
        return enum_name(kind, _integer(node.text) if node.kind == "number" else node.text)
    return _READERS[kind](node.text)


def enum_name(kind: str, value: int | str) -> str:
    """The name of an enum's value, given that or its number.

    Raises:
        ValueError: If it is none.
    """
    names = ENUMS[kind]
    if isinstance(value, str):
        if value not in names:
            raise ValueError(value)
        return value
    found = next((name for name, number in names.items() if number == value), None)
    if found is None:
        raise ValueError(value)
    return found


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    if digits[:2].lower() == "0x":
        return sign * int(digits[2:], 16)
    if len(digits) > 20:
        raise OverflowError(text[:20])
    return sign * int(digits, 8 if digits.startswith("0") and digits != "0" else 10)


def _ranged(kind: str) -> Callable[[str], int]:
    low = 0 if kind == "uint" else -(2**63)

    def read(text: str) -> int:
        number = _integer(text)
        if not low <= number <= _LARGEST[kind]:
            raise OverflowError(number)
        return number

    return read


def _float(text: str) -> float:
    number = float(text[:-1] if text[-1] in "fF" and text.lower() not in _INFINITE else text)
    if not math.isfinite(number):
        raise OverflowError(text)
    return number


_INFINITE = ("inf", "-inf", "infinity", "-infinity", "nan")


def _bool(text: str) -> bool:
    known = {"true": True, "True": True, "t": True, "1": True}
    known |= {"false": False, "False": False, "f": False, "0": False}
    if text not in known:
        raise ValueError(text)
    return known[text]


_READERS: dict[str, Callable[[str], Any]] = {
    "int": _ranged("int"),
    "uint": _ranged("uint"),
    "bool": _bool,
    "float": _float,
    "double": _float,
}
_DEFAULTS: dict[str, Callable[[str], Any]] = {**_READERS, "string": str}
_KINDS = {
    "int": "an integer",
    "uint": "an integer of 0 or more",
    "bool": "true or false",
    "float": "a finite number",
    "double": "a finite number",
    "string": "a string in quotes",
}


def _declared(record: Record, name: str) -> Field:
    return MESSAGES[record.message][name]


def _unknown_hint(message: str, name: str) -> str:
    close = get_close_matches(name, MESSAGES[message], n=1)
    meant = f"Is '{close[0]}' meant? " if close else ""
    return (
        f"{meant}Forks of Caffe add fields of their own; Caffe itself would refuse this file too."
    )

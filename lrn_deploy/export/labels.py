"""Class names as people keep them: lines, ImageNet's synsets, lists and index maps in JSON."""

from __future__ import annotations

import ast
import codecs
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.errors import BadInputError

_SYNSET = re.compile(r"n\d{8}$")
"""A WordNet id as ImageNet's lists have it, ``n01440764`` for instance."""
_LITERAL_LIMIT = 2**20
_HINT = (
    "Give a text file with one class name a line, or JSON: a list of names, or a map of indices "
    "to names."
)


def read_labels_file(path: Path) -> tuple[str, ...]:
    """The class names in a file, in the order of the network's output.

    Raises:
        BadInputError: If it cannot be read, or holds no class names.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(
            f"Cannot read the labels file '{path}': {reason}.", "Check --labels."
        ) from error
    return parse_labels(data, path.name)


def parse_labels(data: bytes, name: str) -> tuple[str, ...]:
    """The class names that the bytes of a labels file hold.

    Whitespace at the ends of a name goes, and within it becomes one space. A WordNet id before
    every name goes too. Blank lines at the end count for nothing; one between names is a class
    without a name, since the names after it would else move.

    Args:
        data: UTF-8, or UTF-16 with a byte order mark.
        name: What errors call the file.

    Raises:
        BadInputError: If these are no class names.
    """
    text = _text(data, name)
    structure = _structure(text)
    if structure is None:
        lines = re.split(r"\r\n|\r|\n", text.rstrip())
        names = _without_synsets([" ".join(line.split()) for line in lines])
    else:
        names = [" ".join(label.split()) for label in _from_structure(structure, name)]
    if not any(names):
        raise BadInputError(f"The labels file '{name}' holds no class names.", _HINT)
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:  # JSON can hold halves of characters
        raise BadInputError(
            f"The labels file '{name}' holds a name that is no text: {error.reason}.", _HINT
        ) from error
    return tuple(names)


def check_count(labels: Sequence[str], output: TensorSpec) -> None:
    """Refuse class names that are not one for each class of the output.

    Raises:
        BadInputError: If their number is another, or the output is no vector of classes.
    """
    if output.classes is None:
        raise BadInputError(
            f"There are {len(labels)} class names, but the network's output "
            f"{output.described_shape} is no vector of classes.",
            "Leave out --labels.",
        )
    if len(labels) != output.classes:
        extra = len(labels) - output.classes == 1
        raise BadInputError(
            f"There are {len(labels)} class names for an output of {output.classes} classes.",
            "Give one name for each class, in the order of the output"
            + (" (is the first one a background, which this network lacks?)." if extra else "."),
        )


def _text(data: bytes, name: str) -> str:
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"The labels file '{name}' is no UTF-8 text (byte {error.start}).",
            "Save it as UTF-8.",
        ) from error


def _structure(text: str) -> Any:
    """The list or map that the text is, in JSON or as Python prints it; None: it is lines."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > _LITERAL_LIMIT:
        return None
    try:  # the well-known list of ImageNet's classes is a Python dictionary
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in it
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _from_structure(structure: Any, name: str) -> list[str]:
    if isinstance(structure, Mapping):
        inner = structure.get("id2label")  # as in a Hugging Face config.json
        structure = _in_order(inner if isinstance(inner, Mapping) else structure, name)
    if not isinstance(structure, list | tuple):
        raise BadInputError(f"The labels file '{name}' is no list of class names.", _HINT)
    return [_one(entry, index, name) for index, entry in enumerate(structure)]


def _in_order(names: Mapping[Any, Any], name: str) -> list[Any]:
    """The names of a map from indices, or to indices, sorted by them."""
    if names and all(type(value) is int for value in names.values()):
        pairs = [(value, key) for key, value in names.items()]
    else:
        pairs = [(_index(key), value) for key, value in names.items()]
    found = dict(pairs)
    absent = next((index for index in range(len(pairs)) if index not in found), None)
    if absent is not None:
        raise BadInputError(
            f"The labels file '{name}' is no map of the indices 0 to {len(pairs) - 1}: it has no "
            f"{absent}.",
            _HINT,
        )
    return [found[index] for index in range(len(pairs))]


def _index(key: Any) -> int | None:
    if isinstance(key, str) and re.fullmatch(r"[0-9]{1,9}", key.strip()):
        return int(key)
    return key if type(key) is int else None


def _one(item: Any, index: int, name: str) -> str:
    """A name: a string, or a list of a WordNet id and one or more strings."""
    words = list(item) if isinstance(item, list | tuple) else [item]
    if not words or not all(isinstance(word, str) for word in words):
        raise BadInputError(
            f"The labels file '{name}' has no text as the name of class {index}.", _HINT
        )
    if len(words) > 1 and _SYNSET.match(words[0]):
        words = words[1:]
    return ", ".join(words)


def _without_synsets(names: list[str]) -> list[str]:
    pairs = [name.partition(" ") for name in names]
    if all(_SYNSET.match(first) and rest for first, _, rest in pairs):
        return [rest for _, _, rest in pairs]
    return names

"""YAML for clusters, written so that no reader takes a word for something else.

YAML reads ``no`` as false, ``1e3`` as a thousand and ``22:22`` as 1342. A string stands bare here
only if it is a plain word that no version of YAML has a meaning for; every other one is quoted as
JSON quotes it, which YAML reads as JSON does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_MEANT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What JSON lets stand in a string and YAML does not."""


def yaml_text(content: Mapping[str, Any], comment: str = "") -> str:
    """A document of YAML.

    Args:
        content: Mappings with strings as keys, sequences, strings, numbers, booleans and None.
        comment: Lines for people, put before it.

    Raises:
        TypeError: If something else is in it.
    """
    told = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*told, *_lines(content)]) + "\n"


def scalar(value: Any) -> str:
    """How one string, number, boolean or None is written, in one line.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(value, str):
        if _WORD.fullmatch(value) and value.lower() not in _MEANT:
            return value
        text = json.dumps(value, ensure_ascii=False)
        return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value, allow_nan=False)
    raise TypeError(f"YAML of {type(value).__name__} is not written here.")


def _mapping(content: Mapping[str, Any]) -> Iterator[str]:
    for key, value in content.items():
        yield from _entry(f"{scalar(key)}:", value, "  ")


def _sequence(content: Sequence[Any]) -> Iterator[str]:
    for value in content:
        inner = list(_lines(value))
        yield f"- {inner[0]}"
        yield from (f"  {line}" for line in inner[1:])


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    inner = list(_lines(value))
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence) or not value:
        yield f"{head} {inner[0]}"
        return
    yield head
    yield from (f"{indent}{line}" for line in inner)


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _mapping(value) if value else ["{}"]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from _sequence(value) if value else ["[]"]
    else:
        yield scalar(value)

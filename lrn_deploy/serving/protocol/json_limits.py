"""How deep and how large a JSON text may be, told before a parser makes objects of it.

A parser that recurses would otherwise overflow, and one that does not takes fifty times the bytes
of ``[],[],[]`` as memory.
"""

from __future__ import annotations

import re

import numpy as np

from lrn_deploy.serving.errors import InvalidRequestError, TooLargeError

MAX_DEPTH = 100
MAX_CONTAINERS = 1_000_000

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
"""A string, also one that is cut short; possessive, so its time is linear in the bytes."""

_CHUNK = 1 << 20
_BRACKETS = b"[{]}"
_OTHERS = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")  # as int8: up, up, down, down


def check_json_limits(text: bytes | bytearray) -> None:
    """Refuse a text that is nested too deeply or has too many arrays and objects.

    Raises:
        InvalidRequestError: If it is deeper than ``MAX_DEPTH``.
        TooLargeError: If it has more than ``MAX_CONTAINERS``.
    """
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRINGS.sub(b"", text).translate(None, _OTHERS)
    opening = brackets.count(b"[") + brackets.count(b"{")
    if opening > MAX_CONTAINERS:
        raise TooLargeError(
            f"The JSON has {opening:,} arrays and objects, more than the limit of "
            f"{MAX_CONTAINERS:,}; send binary tensors."
        )
    steps = brackets.translate(_STEPS)
    level = 0
    for start in range(0, len(steps), _CHUNK):
        levels = np.frombuffer(steps[start : start + _CHUNK], np.int8).cumsum(dtype=np.int32)
        if level + int(levels.max()) > MAX_DEPTH:
            raise InvalidRequestError(
                f"The JSON is nested too deeply; {MAX_DEPTH} levels are the limit."
            )
        level += int(levels[-1])

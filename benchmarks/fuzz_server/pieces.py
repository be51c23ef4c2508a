"""Changes of bytes, of text and of JSON values, and what is put in."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

WORDS = (
    *("", " ", "0", "-1", "+1", "1e3", "0x10", "9" * 30, "٣", "\0", "\t", "\r", "\n", "\r\n", ":"),
    *("x" * 300, "é", "ÿ", "%", "%00", "%2F", "%2e%2e/", "..", "../../etc/passwd", "//", "\\", ";"),
    *("chunked", "gzip", "identity", "close", "keep-alive", "100-continue", "h2c", "*", "null"),
)
NUMBERS = (
    *(0, 1, -1, 2, 3, 8, 64, 192, 768, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64),
    *(10**400, 0.5, -0.0, 1e-45, 3.4e38, 3.5e38, 1e308),
)
KEYS = (
    *("name", "datatype", "shape", "data", "parameters", "inputs", "outputs", "id", "timeout"),
    *("priority", "binary_data_size", "binary_data_output", "binary_data", "classification"),
    *("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "sequence_id"),
)
TYPES = ("FP32", "FP16", "FP64", "BF16", "BOOL", "INT8", "INT64", "UINT8", "UINT64", "BYTES", "x")


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """``data`` with one change."""
    made = bytearray(data)
    at = rng.randrange(len(made) + 1)
    way = rng.random()
    if way < 0.4 and at < len(made):
        made[at] = rng.choice((0, 10, 13, 32, 34, 127, 128, 255, rng.randrange(256)))
    elif way < 0.6:
        del made[at : at + rng.choice((1, 2, 5, 50))]
    elif way < 0.8:
        made[at:at] = rng.randbytes(rng.randint(1, 6))
    elif way < 0.9:
        start = rng.randrange(len(made) + 1)
        made[at:at] = made[start : start + rng.randint(1, 200)]
    else:
        del made[at:]
    return bytes(made)


def text_changed(text: str, rng: random.Random) -> str:
    """``text`` with a word put into it, or over a part of it."""
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(WORDS) + text[at + rng.choice((0, 0, 1, 3, 20)) :]


def value(rng: random.Random) -> Any:
    """Any JSON value."""
    return rng.choice(
        (
            rng.choice(NUMBERS),
            rng.choice(WORDS),
            rng.choice(TYPES),
            rng.choice((None, True, False, [], {}, [[]], [{}], "image", "scores", "nothing")),
            [rng.choice(NUMBERS) for _ in range(rng.randint(1, 6))],
            {rng.choice(KEYS): rng.choice(NUMBERS)},
            _nested(rng.choice((50, 101, 250))),
        )
    )


def json_changed(content: Any, rng: random.Random) -> Any:
    """A copy of a JSON value with a part replaced, removed, doubled or wrapped.

    Parts deep inside of long lists are so many that those above them are favoured.
    """
    content = copy.deepcopy(content)
    places = list(_places(content))
    if not places:
        return value(rng)
    container, key = rng.choice(places[: rng.choice((8, 16, len(places)))])
    way = rng.random()
    if way < 0.5:
        container[key] = value(rng)
    elif way < 0.65:
        del container[key]
    elif way < 0.8 and isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    elif way < 0.9:
        container[key] = [container[key]]
    elif isinstance(container, dict):
        container[rng.choice(KEYS)] = value(rng)
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys, those at the top first."""
    level = [content] if isinstance(content, (dict, list)) else []
    while level:
        below = []
        for one in level:
            keys = one if isinstance(one, dict) else range(len(one))
            for key in keys:
                yield one, key
                if isinstance(one[key], (dict, list)) and one[key]:
                    below.append(one[key])
        level = below


def _nested(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made

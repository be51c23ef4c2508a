"""What was read a moment ago need not be read again.

A caller that asks often sends the same head and the same announcement each time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

SHORT = 2048
"""Bytes of a text that is worth remembering; with ``MANY`` it bounds the memory."""
MANY = 128
"""Texts that are remembered, the latest."""


def remembering(read: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """``read``, but what short texts were read as is remembered, and given again.

    What it gives must not be changed by anyone. Errors are not remembered.
    """
    remembered = lru_cache(MANY)(read)

    def read_or_remember(text: bytes) -> T:
        return remembered(text) if len(text) <= SHORT else read(text)

    return read_or_remember

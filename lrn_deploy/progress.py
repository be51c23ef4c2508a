"""How far something has come that takes long: one kind of function is told it, by everything."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many steps are done."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""

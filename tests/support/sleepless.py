"""A module that sleeps, without the sleep."""

from __future__ import annotations

import time
from types import ModuleType

import pytest


class _Time:
    """The module ``time``, but that it notes how long one would have slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


def sleepless(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[float]:
    """Let a module sleep no more; what else runs in the process sleeps as it did.

    Returns:
        The seconds that it would have slept, one number for each time; it grows.
    """
    stand_in = _Time()
    monkeypatch.setattr(module, "time", stand_in)
    return stand_in.slept

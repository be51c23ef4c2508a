from __future__ import annotations

import sys
from pathlib import Path

import pytest

FACTORY = """
import torch
from torch import nn

class Tiny(nn.Module):
    input_shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.LocalResponseNorm(3)

    def forward(self, x):
        return self.norm(self.conv(x)).flatten(1)

def build():
    return Tiny()

def shapeless():
    return nn.Conv2d(3, 4, 3)

def broken():
    raise ValueError("no such option")

def leaving():
    raise SystemExit(3)

def text():
    return "not a module"

number = 7
"""


@pytest.fixture(autouse=True)
def own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a factory adds its folder to ``sys.path``; no other test shall find it there."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def factory(tmp_path: Path) -> str:
    file = tmp_path / "tiny.py"
    file.write_text(FACTORY)
    return f"{file}:build"

"""The integers that an input takes are those that its table has rows for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrn_deploy.bundle import IntegerValues
from lrn_deploy.export.graph import to_onnx
from lrn_deploy.network import load_network
from lrn_deploy.network.inputs import one_input

CODE = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.large, self.small = nn.Embedding(1000, 4), nn.Embedding(30, 4)

class Direct(Base):
    def forward(self, ids):
        return self.small(ids)

class Both(Base):
    def forward(self, ids):
        return self.large(ids) + self.small(ids)

class Moved(Base):
    def forward(self, ids):
        return self.small(torch.cat([ids.int()[:, 1:], ids.int()], 1).reshape(-1, 3, 3).flatten(1))

class Indexed(Base):
    def forward(self, ids):
        return self.large.weight[:17][ids]

class Shifted(Base):
    def forward(self, ids):
        return self.small(ids.clamp(0, 5) + 2)

class Floating(Base):
    def forward(self, ids):
        return ids.float()

class Example(Floating):
    example_inputs = (torch.tensor([[7, 2, 3, 4, 40]]),)

class ExampleOfTable(Direct):
    example_inputs = (torch.tensor([[7, 2, 3, 4, 5]]),)
"""


def values(tmp_path: Path, name: str, dtype: str = "int64") -> IntegerValues | None:
    (tmp_path / "mine.py").write_text(CODE)
    given = () if name.startswith("Example") else (one_input((5,), name="", dtype=dtype),)
    network = load_network(f"{tmp_path}/mine.py:{name}", inputs=given)
    return to_onnx(network).inputs[0].values


@pytest.mark.parametrize(
    ("name", "low", "high", "source"),
    [
        ("Direct", 0, 29, "table"),
        ("Both", 0, 29, "table"),
        ("Moved", 0, 29, "table"),
        ("Indexed", -17, 16, "table"),
        ("Shifted", 0, 9, "assumed"),
        ("Floating", 0, 9, "assumed"),
        ("Example", 2, 40, "example"),
        ("ExampleOfTable", 0, 29, "table"),
    ],
)
def test_the_range(tmp_path: Path, name: str, low: int, high: int, source: str) -> None:
    found = values(tmp_path, name)
    assert found is not None
    assert (found.low, found.high, found.source) == (low, high, source)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool", "float32"])
def test_what_has_few_values_or_no_integers_has_no_range(tmp_path: Path, dtype: str) -> None:
    assert values(tmp_path, "Floating", dtype) is None

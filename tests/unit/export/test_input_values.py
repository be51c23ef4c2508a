"""The integers that an input takes are those that its table has rows for."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from lrn_deploy.bundle import IntegerValues
from lrn_deploy.export import to_onnx
from lrn_deploy.export.input_values import with_values
from lrn_deploy.network import load_network
from lrn_deploy.network.inputs import one_input

SMALL = ("uint8", "int8", "bool", "float32")
"""Types that have few values, or no integers."""


class Tables(nn.Module):
    """One way for each input: into tables, around them, or into none."""

    def __init__(self) -> None:
        super().__init__()
        self.large, self.small = nn.Embedding(1000, 4), nn.Embedding(30, 4)

    def forward(
        self,
        direct: Tensor,
        both: Tensor,
        moved: Tensor,
        indexed: Tensor,
        shifted: Tensor,
        floating: Tensor,
        *others: Tensor,
    ) -> tuple[Tensor, ...]:
        again = torch.cat([moved.int()[:, 1:], moved.int()], 1).reshape(-1, 3, 3).flatten(1)
        return (
            self.small(direct),
            self.large(both) + self.small(both),
            self.small(again),
            self.large.weight[:17][indexed],
            self.small(shifted.clamp(0, 5) + 2),
            floating.float(),
            *(-other.float() for other in others),
        )


class Examples(nn.Module):
    """Of an input that reaches no table, and of one that does."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 4)
        self.example_inputs = {
            "given": torch.tensor([[7, 2, 3, 4, 40]]),
            "looked_up": torch.tensor([[7, 2, 3, 4, 5]]),
        }

    def forward(self, given: Tensor, looked_up: Tensor) -> tuple[Tensor, Tensor]:
        return given.float(), self.table(looked_up)


def values(module: nn.Module, *dtypes: str) -> dict[str, IntegerValues | None]:
    """Those of each input, for a network of so many."""
    given = [one_input((5,), name="", dtype=dtype) for dtype in dtypes]
    return {spec.name: spec.values for spec in to_onnx(load_network(module, inputs=given)).inputs}


@pytest.fixture(scope="module")
def found() -> dict[str, IntegerValues | None]:
    return values(Tables(), *["int64"] * 6, *SMALL) | values(Examples())


@pytest.mark.parametrize(
    ("name", "low", "high", "source"),
    [
        ("direct", 0, 29, "table"),
        ("both", 0, 29, "table"),
        ("moved", 0, 29, "table"),
        ("indexed", -17, 16, "table"),
        ("shifted", 0, 9, "assumed"),
        ("floating", 0, 9, "assumed"),
        ("given", 2, 40, "example"),
        ("looked_up", 0, 29, "table"),
    ],
)
def test_the_range(
    found: dict[str, IntegerValues | None], name: str, low: int, high: int, source: str
) -> None:
    assert found[name] == IntegerValues(low=low, high=high, source=source)


def test_what_has_few_values_or_no_integers_has_no_range(
    found: dict[str, IntegerValues | None],
) -> None:
    assert [found[f"input_{at}"] for at in range(6, 6 + len(SMALL))] == [None] * len(SMALL)


@pytest.mark.parametrize(
    ("nodes", "low", "high"),
    [
        ("y = Gather(table, ids)", 0, 3),
        ("y = Gather<axis = 1>(table, ids)", 0, 8),
        ("y = GatherND(table, ids)", -4, 3),
        ("y = GatherND<batch_dims = 1>(table, ids)", -9, 8),
        ("y = GatherND(table, pairs)", None, None),
        ("p = Gather(ids, first) y = Gather(table, p)", 0, 3),
        ("p = Expand(first, ids) y = Gather(table, p)", None, None),
        ("p = Concat<axis = 0>(ids, first) y = Gather(table, p)", 0, 3),
        ("p = Concat<axis = 0>(first, ids) y = Gather(table, p)", 0, 3),
        ("p = Cast<to = 6>(ids) y = Gather(table, p)", 0, 3),
        ("p = Cast<to = 1>(ids) q = Cast<to = 7>(p) y = Gather(table, q)", None, None),
        ("p = Identity(ids) q = Concat<axis = 0>(p, p) y = Gather(table, q)", 0, 3),
        ("y = Gather(open, ids)", None, None),
    ],
)
def test_what_reaches_a_table_unchanged_counts_its_rows(
    nodes: str, low: int | None, high: int | None
) -> None:
    """A table of 4 rows of 9; ``ids`` of one axis, or of pairs."""
    axes = "4, 2" if "pairs" in nodes else "4, 1"
    text = f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (int64[{axes}] {"pairs" if "pairs" in nodes else "ids"}, float[n, 3] open)
          => (float[a, b] y)
          <float[4, 9] table = {{{", ".join(["0"] * 36)}}}, int64[1, 1] first = {{0}}> {{ {nodes} }}
    """
    made = onnx.parser.parse_model(text)
    made.graph.output[0].ClearField("type")
    model = ir.from_proto(onnx.shape_inference.infer_shapes(made))
    value = model.graph.inputs[0]
    spec = one_input((1,), name=str(value.name), dtype="int64")
    wanted = (0, 9, "assumed") if low is None else (low, high, "table")
    found = with_values(value, spec, ()).values
    assert found is not None
    assert (found.low, found.high, found.source) == wanted

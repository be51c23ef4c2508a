"""Transposes that undo each other are taken away, and only those."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from lrn_deploy.passes.cancel_transposes import cancel_transposes
from tests.support.onnx_graphs import by_onnxruntime, model, node

LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
X = np.random.default_rng(0).normal(0, 1, (2, 5, 3, 4)).astype(np.float32)


def cancelled(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str] = ("y",)
) -> tuple[list[str], ir.Model, int]:
    """The operators that are left, the model, which computes what it did before, and how many
    pairs were taken away.
    """
    before = model(nodes, {"x": ["n", 5, 3, 4]}, dict.fromkeys(outputs))
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(before))
    done = cancel_transposes(graph)
    after = ir.to_proto(graph)
    onnx.checker.check_model(after, full_check=True)
    expected = by_onnxruntime(before.SerializeToString(), {"x": X})
    got = by_onnxruntime(after.SerializeToString(), {"x": X})
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    return [item.op_type for item in after.graph.node], graph, done


def test_an_lrn_between_a_converters_transposes_stands_alone() -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("Transpose", "a", "b", perm=LAST),
        node("Relu", "b", "c"),
        node("Neg", "c", "d"),
        node("Transpose", "d", "e", perm=FIRST),
        node("LRN", "e", "f", size=3),
        node("Transpose", "f", "g", perm=LAST),
        node("Transpose", "g", "h", perm=FIRST),
        node("MaxPool", "h", "y", kernel_shape=[2, 2]),
    ]
    left, graph, done = cancelled(nodes)
    assert left == ["Relu", "Relu", "Neg", "LRN", "MaxPool"]
    assert done == 2
    names = {value.name: value.shape for item in graph.graph for value in item.outputs}
    assert "c" not in names  # what was channels last has another name now
    assert names["d_undone"] == ir.Shape(["n", 5, 3, 4])


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Transpose", "x", "a", perm=LAST), node("Transpose", "a", "y", perm=FIRST)], "y"),
        (
            [
                node("Transpose", "x", "a", perm=LAST),
                node("Transpose", "a", "b", perm=LAST),
                node("Relu", "b", "y"),
            ],
            "y",
        ),
        (
            [
                node("Transpose", "x", "a", perm=LAST),
                node("Softmax", "a", "b"),
                node("Transpose", "b", "c", perm=FIRST),
                node("Relu", "c", "y"),
            ],
            "y",
        ),
        (
            [
                node("Transpose", "x", "a", perm=LAST),
                node("Relu", "a", "z"),
                node("Transpose", "z", "c", perm=FIRST),
                node("Relu", "c", "y"),
            ],
            "y z",
        ),
        (
            [
                node("Transpose", "x", "a", perm=LAST),
                node("Relu", "a", "b"),
                node("Transpose", "b", "c", perm=FIRST),
                node("Relu", "c", "y"),
                node("Neg", "b", "z"),
            ],
            "y z",
        ),
        # The order of axes is not said: they are reversed.
        (
            [
                node("Transpose", "x", "a"),
                node("Transpose", "a", "b"),
                node("Transpose", "b", "c", perm=[3, 2, 1, 0]),
                node("Relu", "c", "y"),
            ],
            "y",
        ),
        ([node("Transpose", "x", "a", perm=LAST), node("Relu", "x", "y")], "y"),
    ],
)
def test_others_stay(nodes: list[onnx.NodeProto], outputs: str) -> None:
    left, _, done = cancelled(nodes, outputs.split())
    assert done == 0
    assert sorted(left) == sorted(item.op_type for item in nodes)


def test_a_transpose_that_others_read_stays_for_them() -> None:
    nodes = [
        node("Transpose", "x", "a", perm=LAST),
        node("Transpose", "a", "b", perm=FIRST),
        node("Relu", "b", "y"),
        node("Softmax", "a", "z"),
    ]
    assert cancelled(nodes, ("y", "z"))[0] == ["Transpose", "Relu", "Softmax"]


@pytest.mark.parametrize("own", ["first", "between", "last"])
def test_operators_of_other_domains_only_have_the_names(own: str) -> None:
    rows = {
        "first": node("Transpose", "x", "a", perm=LAST),
        "between": node("Relu", "a", "b"),
        "last": node("Transpose", "b", "c", perm=FIRST),
    }
    rows[own].domain = "own"
    nodes = [*rows.values(), node("Relu", "c", "y")]
    graph = ir.from_proto(model(nodes, {"x": ["n", 5, 3, 4]}, {"y": None}))
    assert cancel_transposes(graph) == 0
    assert len(graph.graph) == 4


def test_pairs_inside_each_other_are_taken_away_one_after_the_other() -> None:
    nodes = [
        node("Transpose", "x", "a", perm=LAST),
        node("Transpose", "a", "b", perm=LAST),
        node("Relu", "b", "c"),
        node("Transpose", "c", "d", perm=FIRST),
        node("Transpose", "d", "e", perm=FIRST),
        node("Neg", "e", "y"),
    ]
    left, _, done = cancelled(nodes)
    assert (left, done) == (["Relu", "Neg"], 2)

"""What runtimes are given of a file: itself, but for an LRN that none of them computes rightly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.onnx_files import read_judged
from lrn_deploy.onnx_files.runnable import runnable
from tests.support.onnx_graphs import by_onnxruntime, model, node, save, zoo

X = np.random.default_rng(1).normal(0, 2, (2, 6, 3, 3)).astype(np.float32)


def expected(size: int) -> np.ndarray:
    """ONNX's definition, in float64: floor((size - 1) / 2) channels before, the rest behind."""
    x = X.astype(np.float64)
    before, behind = (size - 1) // 2, size // 2
    sums = np.stack(
        [(x[:, max(0, c - before) : c + behind + 1] ** 2).sum(1) for c in range(x.shape[1])], 1
    )
    return x / (1 + 0.5 / size * sums) ** 0.75


@pytest.mark.parametrize(("size", "kept"), [(3, True), (5, True), (2, False), (4, False)])
def test_an_even_window_is_written_out_and_computes_what_onnx_says(
    size: int, kept: bool, tmp_path: Path
) -> None:
    layers = (node("Relu", "x", "m"), node("Neg", "m", "n"), node("Sub", "x n", "p"))
    lrn = node("LRN", "x", "y", size=size, alpha=0.5, bias=1.0)
    file = read_judged(save(tmp_path, model([lrn, *layers], {"x": [2, 6, 3, 3]}, {"y": None})))[0]
    made = runnable(file)
    assert ("LRN" in {one.op_type for one in made.graph.node}) is kept
    (got,) = by_onnxruntime(made.SerializeToString(), {"x": X})
    np.testing.assert_allclose(got, expected(size), rtol=1e-5)


@pytest.mark.parametrize("axes", [[2, 6, 3], [2, 6, 3, 3, 1]])
def test_a_window_over_another_rank_is_written_out_too(axes: list[int], tmp_path: Path) -> None:
    lrn = node("LRN", "x", "y", size=3, alpha=0.5, bias=1.0)
    made = runnable(read_judged(save(tmp_path, model([lrn], {"x": axes}, {"y": None})))[0])
    assert "LRN" not in {one.op_type for one in made.graph.node}
    x = X[..., 0] if len(axes) == 3 else X[..., None]
    (got,) = by_onnxruntime(made.SerializeToString(), {"x": x})
    whole = expected(3)
    np.testing.assert_allclose(
        got, whole[..., 0] if len(axes) == 3 else whole[..., None], rtol=1e-5
    )


@pytest.mark.parametrize("opset", [6, 9])
def test_a_file_with_nothing_of_that_is_itself(opset: int, tmp_path: Path) -> None:
    """Before opset 7 not all shapes can be told."""
    file = read_judged(save(tmp_path, zoo(opset)))[0]
    assert runnable(file) == file.whole()


def test_large_weights_may_stand_as_inputs(tmp_path: Path) -> None:
    weights = {"w": np.ones((1, 1025), np.float32), "s": np.ones((1, 1025), np.float32)[:, :1]}
    add = model([node("Sum", "x w s", "y")], {"x": [1, 1025]}, {"y": None}, weights)
    file = read_judged(save(tmp_path, add))[0]
    for whole, inputs in ((True, ["x"]), (False, ["x", "w"])):
        graph = runnable(file, weights=whole).graph
        assert [one.name for one in graph.input] == inputs
        assert [one.name for one in graph.initializer] == ["s", "w"][: 1 + whole]


def test_other_nodes_are_not_asked_for_a_window(tmp_path: Path) -> None:
    deep = model([node("Relu", "x", "y")], {"x": [1, 2, 3]}, {"y": None})
    made = runnable(read_judged(save(tmp_path, deep))[0])
    assert [one.op_type for one in made.graph.node] == ["Relu"]

"""The batch is freed where each node works on each row alone, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files import read
from lrn_deploy.onnx_files.batch.rows import RULES
from tests.support.onnx_graphs import Array, by_onnxruntime, model, node, save, zoo

RNG = np.random.default_rng(5)


def graph(*nodes: onnx.NodeProto, batch: int | str = 1, **weights: Any) -> onnx.ModelProto:
    """Nodes from x of (batch, 2, 3, 4) to y."""
    arrays = {
        name: np.asarray(values, np.int64 if np.asarray(values).dtype == int else np.float32)
        for name, values in weights.items()
    }
    return model(nodes, {"x": [batch, 2, 3, 4]}, {"y": None}, arrays)


W = RNG.normal(0, 1, (24, 5)).astype(np.float32)
FREED: dict[str, Sequence[Any]] = {
    "flatten": (node("Flatten", "x", "y"),),
    "flatten counted from the last axis": (node("Flatten", "x", "y", axis=-3),),
    "pixels clipped": (node("Clip", "x - h", "y"), {"h": 0.5}),
    "no axes and nothing to do": (
        node("ReduceSum", "x a", "y", noop_with_empty_axes=1),
        {"a": np.zeros(0, int)},
    ),
    "a bias for each column": (
        node("Flatten", "x", "m"),
        node("Gemm", "m w c", "y"),
        {"w": W, "c": np.ones((1, 5))},
    ),
    "two reshapes": (
        node("Reshape", "x a", "m"),
        node("Reshape", "m b", "y"),
        {"a": [1, 24], "b": [1, 4, 6, 1]},
    ),
    "reshape with a rest": (node("Reshape", "x a", "y"), {"a": [1, -1]}),
    "reshape that copies": (node("Reshape", "x a", "y"), {"a": [0, 0, 12]}),
    "a product of rows": (
        node("Reshape", "x a", "m"),
        node("MatMul", "m w", "y"),
        {"a": [1, 24], "w": W},
    ),
    "gemm": (
        node("Reshape", "x a", "m"),
        node("Gemm", "m w c", "y"),
        {"a": [-1, 24], "w": W, "c": np.ones((1, 5))},
    ),
    "products of pictures": (
        node("Transpose", "x", "t", perm=[0, 1, 3, 2]),
        node("MatMul", "x t", "y"),
    ),
    "sums over pixels": (node("ReduceSum", "x a", "y", keepdims=0), {"a": [2, -1]}),
    "softmax over channels": (node("Softmax", "x", "y", axis=1),),
    "channels joined": (node("Concat", "x x", "y", axis=-3),),
    "channels parted": (node("Split", "x", "a y", axis=1, num_outputs=2),),
    "a window": (node("Slice", "x a b c", "y"), {"a": [0], "b": [1], "c": [1]}),
    "axes moved": (node("Unsqueeze", "x a", "m"), node("Squeeze", "m a", "y"), {"a": [1]}),
    "padded": (node("Pad", "x p", "y"), {"p": [0, 0, 1, 1, 0, 0, 1, 1]}),
    "channels turned": (node("Gather", "x i", "y", axis=1), {"i": [1, 0]}),
    "pixels doubled": (node("Resize", "x - s", "y", mode="nearest"), {"s": np.ones(4)}),
}  # fmt: skip
KEPT: dict[str, Sequence[Any]] = {
    "the mean of the batch": (node("ReduceMean", "x a", "y", keepdims=1), {"a": [0]}),
    "the mean of all": (node("ReduceMean", "x", "y", keepdims=1),),
    "a batch that is moved": (node("Transpose", "x", "y", perm=[1, 0, 2, 3]),),
    "a reversed order": (node("Transpose", "x", "y"),),
    "a batch that is parted": (node("Reshape", "x a", "y"), {"a": [2, 12]}),
    "all in one row": (node("Flatten", "x", "y", axis=0),),
    "channels in rows": (node("Flatten", "x", "y", axis=2),),
    "one number of each row": (
        node("ReduceMean", "x a", "m", keepdims=0),
        node("Flatten", "m", "y", axis=0),
        {"a": [1, 2, 3]},
    ),
    "one number of each row added to each column": (
        node("ReduceMean", "x a", "c", keepdims=0),
        node("Gemm", "m w c", "y"),
        {"a": [1, 2, 3], "w": W},
    ),
    "an output of constants alone": (
        node("Relu", "x", "m"),
        node("Neg", "w", "y"),
        {"w": np.ones((1, 5))},
    ),
    "a number of each row added to each pixel of a line": (
        node("ReduceMean", "x a", "m", keepdims=0),
        node("Add", "x m", "y"),
        {"a": [1, 2, 3]},
    ),
    "weights that are computed": (node("Neg", "x", "m"), node("Conv", "x m", "y")),
    "channels that are computed": (
        node("ArgMax", "x", "m", axis=1, keepdims=0),
        node("Gather", "x m", "y", axis=1),
    ),
    "a constant joined to each row": (
        node("Concat", "x c", "y", axis=1),
        {"c": np.ones((1, 2, 3, 4))},
    ),
    "every axis of one taken away": (
        node("ReduceMean", "x a", "m", keepdims=1),
        node("Squeeze", "m", "y"),
        {"a": [1]},
    ),
    "products of columns": (
        node("Gemm", "m w", "y", transA=1),
        {"w": W[:1]},
    ),
    "a picture times each row": (
        node("MatMul", "w x", "y"),
        {"w": np.ones((2, 1, 3, 3))},
    ),
    "each row times a row": (
        node("Reshape", "x a", "m"),
        node("Transpose", "w", "t"),
        node("MatMul", "t m", "y"),
        {"a": [1, 24], "w": np.ones((1, 5))},
    ),
    "rows of two shapes multiplied": (
        node("Reshape", "x a", "m"),
        node("MatMul", "m w", "y"),
        {"a": [1, 24], "w": np.ones((2, 24, 5))},
    ),
    "sizes that are written": (
        node("Resize", "x - - s", "y", mode="nearest"),
        {"s": [1, 2, 6, 8]},
    ),
    "softmax over the batch": (node("Softmax", "x", "y", axis=0),),
    "rows joined": (node("Concat", "x x", "y", axis=0),),
    "a row taken out": (node("Gather", "x i", "y", axis=0), {"i": [0]}),
    "rows added": (node("Pad", "x p", "y"), {"p": [1, 0, 0, 0, 0, 0, 0, 0]}),
    "a batch without an axis": (node("Squeeze", "x a", "y"), {"a": [0]}),
    "an axis before it": (node("Unsqueeze", "x a", "y"), {"a": [0]}),
    "a part of the batch": (node("Slice", "x a b c", "y"), {"a": [0], "b": [1], "c": [0]}),
    "its own shape": (
        node("Shape", "x", "s"),
        node("Reshape", "x s", "y"),
    ),
    "products of rows": (
        node("Reshape", "x a", "m"),
        node("Gemm", "m m", "y", transB=1),
        {"a": [1, 24]},
    ),
    "an operator that is not known": (node("EyeLike", "m", "e"), node("Add", "m e", "y")),
    "the place of the largest": (
        node("MaxPool", "x", "m y", kernel_shape=[1, 1]),
    ),
}  # fmt: skip


def made_of(parts: Sequence[Any], batch: int | str = 1) -> onnx.ModelProto:
    weights = parts[-1] if isinstance(parts[-1], dict) else {}
    nodes = [part for part in parts if not isinstance(part, dict)]
    if any("m" in item.input for item in nodes) and not any("m" in n.output for n in nodes):
        nodes.insert(0, node("Flatten", "x", "m"))
    return graph(*nodes, batch=batch, **weights)


@pytest.mark.parametrize("name", FREED)
def test_a_batch_of_one_becomes_any(tmp_path: Path, name: str) -> None:
    file = made_of(FREED[name])
    network = read(save(tmp_path, file))
    assert network.fixed == ""
    free = ir.to_proto(network.model)
    onnx.checker.check_model(free, full_check=True)
    (out,) = network.model.graph.outputs
    assert out.shape is not None
    assert str(out.shape[0]) == "batch"
    x = RNG.normal(0, 1, (5, 2, 3, 4)).astype(np.float32)
    (got,) = by_onnxruntime(free.SerializeToString(), {"x": x})
    rows: list[Array] = [
        by_onnxruntime(file.SerializeToString(), {"x": x[at : at + 1]})[0] for at in range(5)
    ]
    np.testing.assert_allclose(got, np.concatenate(rows), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", KEPT)
def test_a_batch_that_may_be_mixed_stays(tmp_path: Path, name: str) -> None:
    file = made_of(KEPT[name])
    if name == "the place of the largest":
        file.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    network = read(save(tmp_path, file))
    assert network.fixed
    assert network.model.graph.inputs[0].shape == ir.Shape([1, 2, 3, 4])


def test_a_reshape_gets_a_target_for_any_batch_only_if_the_product_proves_it(
    tmp_path: Path,
) -> None:
    graph = read(save(tmp_path, zoo(9))).model.graph
    (reshape,) = [item for item in graph if item.op_type == "Reshape"]
    assert reshape.inputs[1] is not None
    assert reshape.inputs[1].const_value is not None
    assert reshape.inputs[1].const_value.numpy().tolist() == [0, -1]
    wrong = made_of((node("Reshape", "x a", "y"), {"a": [1, 23]}))
    with pytest.raises(BadInputError, match=r"makes \[1, 23\] of \[1, 2, 3, 4\]"):
        read(save(tmp_path, wrong))


def test_other_reshapes_of_the_same_target_keep_it(tmp_path: Path) -> None:
    made = graph(
        node("Reshape", "x a", "m"),
        node("Reshape", "c a", "n"),
        node("Add", "m n", "y"),
        a=[1, 24],
        c=np.ones((4, 6)),
    )
    network = read(save(tmp_path, made))
    assert network.fixed == ""
    x = RNG.normal(0, 1, (3, 2, 3, 4)).astype(np.float32)
    (got,) = by_onnxruntime(ir.to_proto(network.model).SerializeToString(), {"x": x})
    np.testing.assert_array_equal(got, x.reshape(3, 24) + 1)


def test_a_larger_batch_is_freed_or_refused(tmp_path: Path) -> None:
    network = read(save(tmp_path, made_of((node("Reshape", "x a", "y"), {"a": [10, -1]}), 10)))
    assert network.fixed == ""
    assert str(network.model.graph.outputs[0].shape) == "[batch,24]"
    with pytest.raises(BadInputError, match="a batch of 10, which cannot be freed"):
        read(save(tmp_path, made_of(KEPT["the mean of the batch"], 10)))


def test_a_batch_that_is_open_stays_open_under_one_name(tmp_path: Path) -> None:
    for name in ("the mean of the batch", "its own shape"):
        network = read(save(tmp_path, made_of(KEPT[name], "N")))
        assert network.fixed == ""
        assert str(network.model.graph.inputs[0].shape) == "[batch,2,3,4]"
    network = read(save(tmp_path, made_of((node("Reshape", "x a", "y"), {"a": [1, -1]}), "N")))
    assert str(network.model.graph.outputs[0].shape) == "[batch,24]"


def test_every_rule_is_of_an_operator_of_onnx() -> None:
    assert [name for name in RULES if not onnx.defs.has(name)] == []

"""The batch is freed where each node works on each row alone, and nowhere else."""

from __future__ import annotations

import re
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
    "a sum of two products": (
        node("MatMul", "m w", "c"),
        node("Gemm", "m w c", "y"),
        {"w": W},
    ),
    "two reshapes": (
        node("Reshape", "x a", "m"),
        node("Reshape", "m b", "y"),
        {"a": [1, 24], "b": [1, 4, 6, 1]},
    ),
    "reshape with a rest": (node("Reshape", "x a", "y"), {"a": [1, -1]}),
    "reshape to what a node says": (
        node("Constant", "", "t", value_ints=[1, 24]),
        node("Reshape", "x t", "y"),
    ),
    "reshape where 0 is 0": (node("Reshape", "x a", "y", allowzero=1), {"a": [1, 24]}),
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
    "channels joined by their number": (node("Concat", "x x", "y", axis=1),),
    "softmax over what is last": (node("Softmax", "x", "y"),),
    "a norm over what is last": (node("LayerNormalization", "x s", "y"), {"s": np.ones(4)}),
    "channels parted": (node("Split", "x", "a y", axis=1, num_outputs=2),),
    "a window": (node("Slice", "x a b c", "y"), {"a": [0], "b": [1], "c": [1]}),
    "axes moved": (node("Unsqueeze", "x a", "m"), node("Squeeze", "m a", "y"), {"a": [1]}),
    "an axis before the last": (node("Unsqueeze", "x a", "y"), {"a": [3]}),
    "pictures of another size": (
        node("Resize", "x - - s", "y", mode="nearest", axes=[2, 3]),
        {"s": [6, 8]},
    ),
    "padded": (node("Pad", "x p", "y"), {"p": [0, 0, 1, 1, 0, 0, 1, 1]}),
    "channels added": (node("Pad", "x p", "y"), {"p": [0, 1, 0, 0, 0, 2, 0, 0]}),
    "padded along two axes": (node("Pad", "x p - a", "y"), {"p": [1, 0, 2, 3], "a": [-1, 1]}),
    "channels turned": (node("Gather", "x i", "y", axis=1), {"i": [1, 0]}),
    "pixels doubled": (node("Resize", "x - s", "y", mode="nearest"), {"s": [1.0, 2.0, 2.0, 2.0]}),
}  # fmt: skip
KEPT: dict[str, Sequence[Any]] = {
    "the mean of the batch": (node("ReduceMean", "x a", "y", keepdims=1), {"a": [0]}),
    "the mean of all": (node("ReduceMean", "x", "y", keepdims=1),),
    "the sum of all, of no axes": (node("ReduceSum", "x a", "y"), {"a": np.zeros(0, int)}),
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
    "rows multiplied on another axis": (
        node("Reshape", "x a", "m"),
        node("MatMul", "m w", "y"),
        {"a": [1, 6, 4], "w": np.ones((1, 2, 4, 5))},
    ),
    "rows multiplied from another axis": (
        node("Reshape", "x a", "m"),
        node("MatMul", "w m", "y"),
        {"a": [1, 6, 4], "w": np.ones((1, 1, 5, 6))},
    ),
    "a scale that is computed": (
        node("Neg", "x", "m"),
        node("LayerNormalization", "x m", "y", axis=1),
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
    "a row taken out as if nothing is said": (node("Gather", "x i", "y"), {"i": [0]}),
    "rows parted as if nothing is said": (node("Split", "x", "y", num_outputs=1),),
    "the largest row as if nothing is said": (
        node("ArgMax", "x", "m"),
        node("Cast", "m", "y", to=1),
    ),
    "rows added": (node("Pad", "x p", "y"), {"p": [1, 0, 0, 0, 0, 0, 0, 0]}),
    "an axis before it from the end": (node("Unsqueeze", "x a", "y"), {"a": [-5]}),
    "a batch of a size that is written": (
        node("Resize", "x - - s", "y", mode="nearest", axes=[0]),
        {"s": [1]},
    ),
    "padded with what is computed": (
        node("ReduceMean", "x a", "m", keepdims=0),
        node("Pad", "x p m", "y"),
        {"a": [1, 2, 3], "p": [0, 0, 1, 1, 0, 0, 1, 1]},
    ),
    "widths that are computed": (
        node("NonZero", "w", "n"),
        node("Squeeze", "n a", "p"),
        node("Pad", "x p", "y"),
        {"w": np.ones(8), "a": [0]},
    ),
    "rows of nothing": (
        node("Slice", "x a a b", "m"),
        node("Reshape", "m c", "y"),
        {"a": [0], "b": [1], "c": [1, 0]},
    ),
    "rows pushed on": (node("Pad", "x p - a", "y"), {"p": [0, -1, 0, 1], "a": [1, -4]}),
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


ROWS = {
    "added": (node("Add", "x c", "y"), {"c": np.ones((2, 2, 3, 4))}),
    "chosen between": (node("Max", "c x", "y"), {"c": np.ones((2, 1, 1, 1))}),
    "a bias": (node("Gemm", "m w c", "y"), {"w": W, "c": np.ones((2, 5))}),
    "a matrix": (node("MatMul", "x c", "y"), {"c": np.ones((2, 2, 4, 5))}),
    "a matrix before": (node("MatMul", "c x", "y"), {"c": np.ones((2, 2, 5, 3))}),
}  # fmt: skip


def test_a_product_that_mixes_rows_keeps_the_batch(tmp_path: Path) -> None:
    mixed = (node("MatMul", "w m", "y"), {"w": np.ones((2, 2))})
    with pytest.raises(BadInputError, match=r"a batch of 2, .*: it multiplies rows"):
        read(save(tmp_path, made_of(mixed, 2)))


def test_a_squeeze_of_whatever_is_one_would_take_a_batch_of_one_away(tmp_path: Path) -> None:
    parts = (
        node("ReduceMean", "x a", "m", keepdims=1),
        node("Squeeze", "m", "y"),
        {"a": np.array([1])},
    )
    with pytest.raises(BadInputError, match=r"a batch of 2, .* takes the batch's axis away"):
        read(save(tmp_path, made_of(parts, 2)))


@pytest.mark.parametrize("name", ROWS)
def test_a_constant_for_each_row_keeps_the_batch(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match=r"a batch of 2, .*: it has a constant for each row"):
        read(save(tmp_path, made_of(ROWS[name], 2)))


def test_a_batch_that_is_open_stays_open_under_one_name(tmp_path: Path) -> None:
    for name in ("the mean of the batch", "its own shape"):
        network = read(save(tmp_path, made_of(KEPT[name], "N")))
        assert network.fixed == ""
        assert str(network.model.graph.inputs[0].shape) == "[batch,2,3,4]"
    network = read(save(tmp_path, made_of((node("Reshape", "x a", "y"), {"a": [1, -1]}), "N")))
    assert str(network.model.graph.outputs[0].shape) == "[batch,24]"


OLD: dict[str, tuple[int, onnx.NodeProto]] = {
    "a mean": (9, node("ReduceMean", "x", "y", axes=[2, -1])),
    "a maximum": (17, node("ReduceMax", "x", "y", axes=[1], keepdims=0)),
    "an axis more": (9, node("Unsqueeze", "x", "y", axes=[1])),
    "a window": (9, node("Slice", "x", "y", axes=[1], starts=[0], ends=[1])),
    "zeros around": (9, node("Pad", "x", "y", pads=[0, 0, 1, 1, 0, 0, 1, 1])),
}


@pytest.mark.parametrize("name", OLD)
def test_axes_that_old_opsets_say_in_an_attribute_are_looked_at(tmp_path: Path, name: str) -> None:
    opset, made = OLD[name]
    file = model([made], {"x": [1, 2, 3, 4]}, {"y": None}, opset=opset)
    network = read(save(tmp_path, file))
    assert network.fixed == ""
    x = RNG.normal(0, 1, (3, 2, 3, 4)).astype(np.float32)
    (got,) = by_onnxruntime(ir.to_proto(network.model).SerializeToString(), {"x": x})
    rows = [by_onnxruntime(file.SerializeToString(), {"x": row[None]})[0] for row in x]
    np.testing.assert_allclose(got, np.concatenate(rows), rtol=1e-6)


def of_two(*batches: int | str) -> onnx.ModelProto:
    inputs = {name: [batch, 3] for name, batch in zip("xz", batches, strict=True)}
    return model([node("Add", "x z", "y")], inputs, {"y": None})


@pytest.mark.parametrize("batches", [(1, 2), (0, 0), (-1, -1)])
def test_inputs_of_several_batches_or_of_none_are_refused(
    tmp_path: Path, batches: tuple[int, int]
) -> None:
    said = re.escape(f"batches of {sorted(set(batches))} rows, which have nothing in common")
    with pytest.raises(BadInputError, match=said):
        read(save(tmp_path, of_two(*batches)))


@pytest.mark.parametrize("batches", [(2, 2), ("n", 2), ("n", "m"), (1, 1)])
def test_inputs_of_one_batch_get_one_name_for_it(
    tmp_path: Path, batches: tuple[int | str, int | str]
) -> None:
    network = read(save(tmp_path, of_two(*batches)))
    assert network.fixed == ""
    values = (*network.model.graph.inputs, *network.model.graph.outputs)
    assert [str(value.shape) for value in values] == ["[batch,3]"] * 3


def test_what_a_condition_reads_inside_is_not_proven(tmp_path: Path) -> None:
    inner = onnx.helper.make_graph(
        [node("Neg", "x", "n")],
        "inner",
        [],
        [onnx.helper.make_tensor_value_info("n", onnx.TensorProto.FLOAT, [1, 2, 3, 4])],
    )
    made = graph(node("If", "c", "y", then_branch=inner, else_branch=inner))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "c"))
    assert read(save(tmp_path, made)).fixed == "'y_node' is an If"


def test_every_rule_is_of_an_operator_of_onnx() -> None:
    assert [name for name in RULES if not onnx.defs.has(name)] == []

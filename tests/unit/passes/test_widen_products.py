"""fp16 matrix products between casts: what becomes of the graph, and what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.passes.widen_products import widen_products

FP16, FP32 = TensorProto.FLOAT16, TensorProto.FLOAT
ROWS, INNER, COLUMNS = 3, 512, 5


def whole_numbers(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    """Whole fp16 numbers up to 32: sums of their products are exact in fp32, and not in fp16."""
    return np.random.default_rng(seed).integers(-32, 33, shape).astype(np.float16)


X = whole_numbers(0, ROWS, INNER)
W = whole_numbers(1, INNER, COLUMNS)
BIAS = whole_numbers(2, COLUMNS)


def graph_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray[Any, Any]],
    *,
    kind: int = FP16,
    functions: list[onnx.FunctionProto] | None = None,
) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", kind, ["batch", INNER])],
        [helper.make_tensor_value_info("y", kind, ["batch", COLUMNS])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions or [])
    return ir.from_proto(model)


def run(model: ir.Model) -> np.ndarray[Any, Any]:
    data = ir.to_proto(model).SerializeToString()
    onnx.checker.check_model(data, full_check=True)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": X})
    return np.asarray(y)


def told(model: ir.Model) -> list[tuple[str, list[str | None], list[str | None]]]:
    """Operator, types of its inputs (None for one left out), and types of its outputs."""
    return [
        (
            node.op_type,
            [None if value is None else str(value.dtype) for value in node.inputs],
            [str(value.dtype) for value in node.outputs],
        )
        for node in model.graph
    ]


TO_FP32 = ("Cast", ["FLOAT16"], ["FLOAT"])
TO_FP16 = ("Cast", ["FLOAT"], ["FLOAT16"])


def test_a_gemm_is_put_between_casts() -> None:
    model = graph_of([helper.make_node("Gemm", ["x", "w", "b"], ["y"])], {"w": W, "b": BIAS})
    assert told(model) == [("Gemm", ["FLOAT16"] * 3, ["FLOAT16"])]
    model.graph[0].metadata_props["module"] = "fc6"
    assert widen_products(model) == ["y"]
    assert told(model) == [TO_FP32] * 3 + [("Gemm", ["FLOAT"] * 3, ["FLOAT"]), TO_FP16]
    assert {node.metadata_props["module"] for node in model.graph} == {"fc6"}
    sizes = [["batch", INNER], [INNER, COLUMNS], [COLUMNS], ["batch", COLUMNS], ["batch", COLUMNS]]
    assert [node.outputs[0].shape for node in model.graph] == [ir.Shape(size) for size in sizes]
    assert model.graph[3].outputs[0].name == "y_wide"


def test_it_adds_up_in_fp32_and_rounds_once() -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0, transB=1)
    model = graph_of([node], {"w": np.ascontiguousarray(W.T), "b": BIAS})
    widen_products(model)
    wide = X.astype(np.float32) @ W.astype(np.float32)
    expected = (0.5 * wide + 2 * BIAS.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(run(model), expected)
    narrow = np.zeros((ROWS, COLUMNS), np.float16)
    for at in range(INNER):
        narrow += X[:, at : at + 1] * W[at]
    assert (narrow != wide.astype(np.float16)).any(), "else nothing was told apart"


def test_a_bias_that_is_left_out_stays_so() -> None:
    model = graph_of([helper.make_node("Gemm", ["x", "w"], ["y"])], {"w": W})
    assert widen_products(model) == ["y"]
    assert told(model) == [TO_FP32] * 2 + [("Gemm", ["FLOAT"] * 2, ["FLOAT"]), TO_FP16]
    model = graph_of([helper.make_node("Gemm", ["x", "w", ""], ["y"])], {"w": W})
    assert widen_products(model) == ["y"]
    assert told(model)[2] == ("Gemm", ["FLOAT", "FLOAT", None], ["FLOAT"])
    np.testing.assert_array_equal(
        run(model), (X.astype(np.float32) @ W.astype(np.float32)).astype(np.float16)
    )


def test_names_types_and_attributes_of_products_in_a_row_are_kept() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r", "v", "b"], ["y"], "second", alpha=0.5, transB=1),
    ]
    square = whole_numbers(4, COLUMNS, COLUMNS) / np.float16(64)
    model = graph_of(nodes, {"w": W, "v": square, "b": BIAS})
    assert widen_products(model) == ["h", "y"]
    operators = [node.op_type for node in model.graph]
    first = ["Cast", "Cast", "MatMul", "Cast", "Relu"]
    assert operators == [*first, "Cast", "Cast", "Cast", "Gemm", "Cast"]
    products = {node.name: node for node in model.graph if node.op_type in ("Gemm", "MatMul")}
    assert list(products) == ["first", "second"]
    assert products["second"].attributes["alpha"].as_float() == 0.5
    assert products["second"].attributes["transB"].as_int() == 1
    (y,) = model.graph.outputs
    assert (y.name, y.dtype, str(y.shape)) == ("y", ir.DataType.FLOAT16, f"[batch,{COLUMNS}]")
    values = {value.name: value for node in model.graph for value in node.outputs}
    assert values["h"].dtype == ir.DataType.FLOAT16
    hidden = np.maximum(X.astype(np.float32) @ W.astype(np.float32), 0).astype(np.float16)
    wide = 0.5 * (hidden.astype(np.float32) @ square.astype(np.float32).T)
    np.testing.assert_array_equal(run(model), (wide + BIAS).astype(np.float16))


@pytest.mark.parametrize("kind", [FP32, TensorProto.BFLOAT16, TensorProto.DOUBLE])
def test_products_of_other_types_are_left_alone(kind: int) -> None:
    weight = helper.make_node("Cast", ["w"], ["v"], to=kind)
    model = graph_of([weight, helper.make_node("MatMul", ["x", "v"], ["y"])], {"w": W}, kind=kind)
    assert widen_products(model) == []
    assert [node.op_type for node in model.graph] == ["Cast", "MatMul"]


def test_convolutions_and_operators_of_other_domains_are_left_alone() -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["u"]),
        helper.make_node("Conv", ["u", "k"], ["c"]),
        helper.make_node("Squeeze", ["c", "axis"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"], domain="own"),
    ]
    weights = {
        "axis": np.array([1]),
        "k": np.ones((1, 1, 1), np.float16),
        "w": W,
    }
    model = graph_of(nodes, weights)
    assert widen_products(model) == []
    assert [node.op_type for node in model.graph] == ["Unsqueeze", "Conv", "Squeeze", "MatMul"]


def test_products_in_a_subgraph_and_in_a_function_are_left_alone() -> None:
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["in_branch"])],
        "branch",
        [],
        [helper.make_tensor_value_info("in_branch", FP16, None)],
    )
    function = helper.make_function(
        "own",
        "Product",
        ["a", "b"],
        ["c"],
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        [helper.make_opsetid("", 18)],
    )
    nodes = [
        helper.make_node("If", ["yes"], ["h"], then_branch=inner, else_branch=inner),
        helper.make_node("Product", ["h", "v"], ["y"], domain="own"),
    ]
    square = whole_numbers(4, COLUMNS, COLUMNS)
    weights = {"yes": np.array(True), "w": W, "v": square}
    model = graph_of(nodes, weights, functions=[function])
    assert widen_products(model) == []
    proto = ir.to_proto(model)
    assert [node.op_type for node in proto.graph.node] == ["If", "Product"]
    branches = [attribute.g for attribute in proto.graph.node[0].attribute]
    assert [[node.op_type for node in branch.node] for branch in branches] == [["MatMul"]] * 2
    assert [node.op_type for node in proto.functions[0].node] == ["MatMul"]


def test_what_shape_inference_tells_is_enough() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    model = graph_of(nodes, {"w": W})
    (entering, _) = (value for node in model.graph for value in node.outputs)
    assert entering.dtype is None, "the graph does not tell it"
    assert widen_products(model) == ["y"]

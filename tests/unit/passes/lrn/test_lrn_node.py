"""One LRN node, with what it needs around it, computes the LRN of an x of any rank and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import checker

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.lrn_node import put_lrn

SPEC = LrnSpec(3, 0.5, 0.75, 2.0)


def put(shape: tuple[int | str, ...], axis: int) -> tuple[ir.Model, ir.Node]:
    """A graph that copies x, and the LRN node that was put in the copy's place."""
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(shape))
    y = ir.val("y", dtype=ir.DataType.FLOAT, shape=ir.Shape(shape))
    copy = ir.node("Identity", [x], outputs=[y])
    copy.metadata_props["module"] = "norm1"
    graph = ir.Graph([x], [y], nodes=[copy], opset_imports={"": 18}, name="g")
    return ir.Model(graph, ir_version=10), put_lrn(graph, copy, x, SPEC, axis)


@pytest.mark.parametrize(
    ("shape", "axis", "operators", "inside"),
    [
        (("n", 6, 3, 2), 1, "LRN", ("n", 6, 3, 2)),
        (("n", 6, "h", "w"), 1, "LRN", ("n", 6, "h", "w")),
        (("n", 3, 2, 6), 3, "Transpose LRN Transpose", ("n", 6, 3, 2)),
        (("n", 6, 3), 1, "Reshape LRN Reshape", ("n", 6, 3, 1)),
        (("n", 6, 3, 2, 4), 1, "Reshape LRN Reshape", ("n", 6, 24, 1)),
        (("n", 6, "l"), 1, "Reshape LRN Shape Reshape", ("n", 6, "y_pixels", 1)),
        ((2, 3, 6), 2, "Transpose Reshape LRN Reshape Transpose", (2, 6, 3, 1)),
        (("n", 3, 2, 4, 6), 4, "Transpose Reshape LRN Reshape Transpose", ("n", 6, 24, 1)),
    ],
)
def test_any_rank_and_layout(
    shape: tuple[int | str, ...], axis: int, operators: str, inside: tuple[Any, ...]
) -> None:
    model, lrn = put(shape, axis)
    assert " ".join(node.op_type for node in model.graph) == operators
    assert {node.metadata_props.get("module") for node in model.graph} == {"norm1"}
    entered, left = lrn.inputs[0], lrn.outputs[0]
    assert entered is not None
    assert entered.shape == left.shape == ir.Shape(inside)
    assert entered.dtype == left.dtype == ir.DataType.FLOAT
    names = [value.name for node in model.graph for value in node.outputs]
    assert len(set(names)) == len(names)
    assert names[-1] == "y"
    data = ir.to_proto(model).SerializeToString()
    checker.check_model(data, full_check=True)
    sizes = [length if isinstance(length, int) else 2 for length in shape]
    x = np.random.default_rng(0).normal(0, 3, sizes).astype(np.float32)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    truth = np.moveaxis(reference(np.moveaxis(x, axis, 1), SPEC), 1, axis)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], truth, rtol=1e-5)

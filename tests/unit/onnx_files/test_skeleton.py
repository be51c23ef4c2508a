"""Shapes that are inferred without the weights."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from lrn_deploy.onnx_files.skeleton import first_line, infer, shapes


def test_axes_keep_their_names_and_numbers() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 3, 5] x) => (float[batch, 15] y) {
          a = Relu(x)
          y = Flatten<axis = 1>(a)
        }
    """
    model = ir.from_proto(onnx.parser.parse_model(text))
    infer(model)
    shapes = {str(value.name): value.shape for node in model.graph for value in node.outputs}
    assert shapes["a"] == ("batch", 3, 5)
    assert shapes["y"] is not None
    assert shapes["y"][1] == 15


def test_shapes_as_far_as_they_are_known() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 3] x) => (float[m, n] y) <float[3, 2] small = {1, 2, 3, 4, 5, 6}> {
          a = MatMul(x, large)
          y = MatMul(a, small)
        }
    """
    found = shapes(onnx.parser.parse_model(text), {"large": np.zeros((3, 3), "f4")})
    assert found == {
        "x": (None, 3), "large": (3, 3), "small": (3, 2), "a": (None, 3), "y": (None, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "no reason."),
        ("\n  it does not fit.. \nmore", "it does not fit."),
        ("in a.cc:\n[ShapeInferenceError] Inference error(s): 3 is not 4", "3 is not 4."),
        ("Assertion `x > 0 && y` failed: x is too small. \n", "x is too small."),
        ("a" * 301, "a" * 300 + "."),
    ],
)
def test_what_onnx_throws_in_one_sentence(text: str, line: str) -> None:
    assert first_line(RuntimeError(text)) == line

"""Shapes that are inferred without the weights."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from lrn_deploy.onnx_files.skeleton import infer


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

"""Constants close to 0 and 1 stay what they are."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx_ir import to_proto
from torch import Tensor, nn

from lrn_deploy.export.capture import capture


class Close(nn.Module):
    """Adds, subtracts, multiplies and divides by what is nearly neutral, and by what is."""

    def forward(self, x: Tensor) -> Tensor:
        length = x.square().sum(1, keepdim=True).sqrt()
        y = x / (length + 1e-10) - 3e-9
        return (y * 1.000008 / 0.999993 + 0.0) * 1.0


@functools.cache
def exported() -> onnx.ModelProto:
    model = capture(Close().eval(), {"x": torch.rand(2, 3)}, opset=18)
    return cast(onnx.ModelProto, to_proto(model))


def test_an_epsilon_that_keeps_from_dividing_by_zero_is_kept() -> None:
    session = ort.InferenceSession(exported().SerializeToString())
    x = np.array([[0, 0, 0], [3, 0, 4]], np.float32)
    (y,) = session.run(None, {"x": x})
    factor = 1.000008 / 0.999993
    expected = (np.array([[0, 0, 0], [0.6, 0, 0.8]]) - 3e-9) * factor
    np.testing.assert_allclose(y, expected, rtol=3e-7, atol=0)


def test_what_is_exactly_neutral_is_left_out() -> None:
    graph = exported().graph
    operators = [node.op_type for node in graph.node]
    assert [operators.count(name) for name in ("Add", "Sub", "Mul", "Div")] == [1, 1, 1, 2]
    assert [value.name for value in graph.input] == ["x"]

"""LRN as exporters and people write it in other operators, as ONNX graphs, with faults to order.

Each graph is ``y = x / (k + alpha / size * sum of squares) ** beta``, over ``left + 1 + right``
channels, on a batch of any length, unless a fault is ordered.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from tests.support.torn_parts import Torn, Writer
from tests.support.torn_powers import POWERS
from tests.support.torn_windows import WINDOWS


def torn(how: Torn) -> onnx.ModelProto:
    """The graph."""
    writer = Writer(how.opset)
    x = "x"
    if how.square == "pow":
        squares = writer.op("Pow", x, writer.const(2))
    elif how.square == "mul":
        squares = writer.op("Mul", x, x)
    elif how.square == "other":
        squares = writer.op("Mul", "other", "other")
    elif how.square == "none":
        squares = writer.op("Abs", x)
    else:
        made = writer.op(how.square, x)
        squares = writer.op("Mul", made, made)
    made, rest = WINDOWS[how.window](writer, squares, how)
    if rest is not None:
        factor = how.factor(writer) if how.factor else writer.const(how.alpha * rest)
        made = writer.op("Add", writer.op("Mul", made, factor), writer.const(how.k))
    if how.base is not None:
        made = how.base(writer, made)
    numerator = writer.op(how.numerator, x) if how.numerator else x
    POWERS[how.power](writer, numerator, made, how)
    writer.nodes[-1].output[0] = "y"
    shape = [how.batch, *how.shape]
    inside = [
        next(node.output[0] for node in writer.nodes if node.op_type == kind)
        for kind in how.outputs
    ]
    graph = helper.make_graph(
        writer.nodes,
        "torn",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "other")],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, shape),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inside),
        ],
        writer.constants,
    )
    opset = [helper.make_opsetid("", how.opset)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)

"""Pass ``emulate_half``: an fp16 or bf16 graph -> an fp32 graph that rounds where that one does.

Before (``~`` marks bf16)::

    input -> Cast -> input_bf16~ -> Conv(., weight~) -> relu~ -> ... -> Cast -> output

After, all values fp32 but between the two casts of a pair::

    input -> Cast(bf16) -> Cast -> input_bf16 -> Conv(., weight) -> Cast(bf16) -> Cast -> relu

Every weight and every value that was half still holds a number of that type, under its old name;
each operator computes in fp32 from such numbers and its result is rounded once. This is what
hardware with fp32 accumulation does, so a graph that no CPU kernel runs (ONNX Runtime has no bf16
Conv, Relu or MaxPool) can be validated without a GPU. What it measures is to be labelled
'emulated'.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def emulate_half(model: ir.Model) -> ir.Model:
    """An fp32 graph with the numbers of a half-precision one; see the module's docstring.

    Args:
        model: The graph as :func:`lrn_deploy.passes.half_precision.half_precision` makes it: fp32
            inputs and outputs, no functions. It is left as it is.

    Returns:
        A new graph with the same inputs, outputs and names.
    """
    model = model.clone()
    graph = model.graph
    for weight in graph.initializers.values():
        if weight.dtype in _HALF:
            assert weight.const_value is not None
            weight.const_value = ir.Tensor(
                weight.const_value.numpy().astype(np.float32), name=weight.name
            )
            weight.dtype = ir.DataType.FLOAT
    for node in list(graph):
        for value in node.outputs:
            if value.dtype in _HALF:
                graph.insert_after(node, _round(node, value))
    return model


def _round(node: ir.Node, value: ir.Value) -> list[ir.Node]:
    """Nodes that round a value and give it back as fp32 under its name."""
    half, name, uses = value.type, str(value.name), list(value.uses())
    assert half is not None
    nodes: list[ir.Node] = []
    if node.op_type == "Cast":
        rounded = value
        rounded.name = f"{name}_rounded"
    else:
        value.name, value.dtype = f"{name}_exact", ir.DataType.FLOAT
        down = _cast(value, f"{name}_rounded", half)
        nodes.append(down)
        rounded = down.outputs[0]
    up = _cast(rounded, name, ir.TensorType(ir.DataType.FLOAT))
    for user, index in uses:
        user.replace_input_with(index, up.outputs[0])
    return [*nodes, up]


def _cast(value: ir.Value, name: str, kind: ir.TypeProtocol) -> ir.Node:
    output = ir.Value(name=name, shape=value.shape, type=kind)
    return ir.node("Cast", [value], {"to": kind.dtype}, outputs=[output], name=f"round_{name}")

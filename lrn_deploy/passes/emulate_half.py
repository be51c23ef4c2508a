"""Pass ``emulate_half``: an fp16 or bf16 graph -> an fp32 graph that rounds where that one does.

Before (``~`` marks bf16)::

    input -> Cast -> input_bf16~ -> Conv(., weight~) -> relu~ -> ... -> Cast -> output

After, all values fp32 but between the two casts of a pair::

    input -> Cast(bf16) -> Cast -> input_bf16 -> Conv(., weight) -> Cast(bf16) -> Cast -> relu

Every weight and every value that was half still holds a number of that type, under its old name;
each operator computes in fp32 from such numbers and its result is rounded once. This is what
hardware with fp32 accumulation does, so a graph that no CPU kernel runs (ONNX Runtime has no bf16
Conv, Relu or MaxPool) can be validated without a GPU. What it measures is to be labelled
'emulated'. What happens inside one operator it cannot tell: an LRN node in fp16 may overflow on
hardware where it does not here.
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
            weight.type = ir.TensorType(ir.DataType.FLOAT)
    for node in list(graph):
        for value in node.outputs:
            if value.dtype in _HALF:
                graph.insert_after(node, _round(node, value, value.dtype))
    return model


def _round(node: ir.Node, value: ir.Value, half: ir.DataType) -> list[ir.Node]:
    """Nodes that round a value and give it back as fp32 under its name."""
    name, uses = str(value.name), list(value.uses())
    nodes: list[ir.Node] = []
    if node.op_type == "Cast":
        rounded = value
        rounded.name = f"{name}_rounded"
    else:
        value.name = f"{name}_exact"
        # Not value.dtype, whose setter changes a type that other values may share.
        value.type = ir.TensorType(ir.DataType.FLOAT)
        nodes.append(_cast(value, f"{name}_rounded", half))
        rounded = nodes[0].outputs[0]
    nodes.append(_cast(rounded, name, ir.DataType.FLOAT))
    for user, index in uses:
        user.replace_input_with(index, nodes[-1].outputs[0])
    return nodes


def _cast(value: ir.Value, name: str, dtype: ir.DataType) -> ir.Node:
    output = ir.Value(name=name, shape=value.shape, type=ir.TensorType(dtype))
    return ir.node("Cast", [value], {"to": dtype}, outputs=[output], name=f"round_{name}")

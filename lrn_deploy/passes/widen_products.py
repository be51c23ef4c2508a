"""Pass ``widen_products``: an fp16 matrix product -> the same in fp32 between casts, for TensorRT.

Before (``~`` marks fp16)::

    x~, w~, b~ -> Gemm -> y~

After::

    x~ -> Cast, w~ -> Cast, b~ -> Cast -> Gemm -> Cast -> y~

TensorRT joins the casts and the product to one that reads fp16 and adds up in fp32: its engine is
as large as before, and as fast. Left alone, TensorRT for RTX adds up in fp16: on an H200 with 1.6.1
an fp16 AlexNet was 5.1e-3 from PyTorch, and with its products widened 3.4e-3 (what is left stems
from its convolutions, for which there is no such way).

Not for other runtimes, which would keep the weights twice as large. Convolutions are left alone.

Requires: types of the products' inputs known. Ensures: the name and type of y are kept.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir import tape as ir_tape
from onnx_ir.passes import common as ir_passes

_PRODUCTS = frozenset({"Gemm", "MatMul"})


def widen_products(model: ir.Model) -> list[str]:
    """Widen the fp16 matrix products of a graph in place; see the module's docstring.

    Args:
        model: Changed in place. Its subgraphs and functions are not searched.

    Returns:
        The names of the values that are computed otherwise now, in graph order.
    """
    nodes = [node for node in model.graph if node.op_type in _PRODUCTS and node.domain == ""]
    if any(value is not None and value.dtype is None for node in nodes for value in node.inputs):
        ir_passes.ShapeInferencePass()(model)
    halves = [node for node in nodes if _is_half(node)]
    return [_widen(model.graph, node) for node in halves]


def _is_half(node: ir.Node) -> bool:
    return all(value is None or value.dtype == ir.DataType.FLOAT16 for value in node.inputs)


def _widen(graph: ir.Graph, node: ir.Node) -> str:
    y = node.outputs[0]
    tape = ir_tape.Tape()
    wide = [None if x is None else _cast(tape, x, ir.DataType.FLOAT) for x in node.inputs]
    product = tape.op(node.op_type, wide, dict(node.attributes), name=node.name)
    product.name, product.shape, product.dtype = f"{y.name}_wide", y.shape, ir.DataType.FLOAT
    result = _cast(tape, product, ir.DataType.FLOAT16)
    result.name = None  # it gets the name of y
    for new in tape.nodes:
        new.metadata_props.update(node.metadata_props)
    name = str(y.name)
    ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, [y], [result])
    return name


def _cast(tape: ir_tape.Tape, x: ir.Value, to: ir.DataType) -> ir.Value:
    cast = tape.op("Cast", [x], {"to": to})
    cast.shape, cast.dtype = x.shape, to
    return cast

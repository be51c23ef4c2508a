"""Pass ``cancel_transposes``: two Transposes that undo each other -> none.

Before, as networks that were written channels last come out of converters::

    x -> Transpose(0, 2, 3, 1) -> Relu -> Transpose(0, 3, 1, 2) -> LRN -> Transpose -> ...

After::

    x -> Relu -> LRN -> Transpose -> ...

Between the two there may be operators that work on each number alone, whose results nothing else
takes. So an LRN that a converter put between two Transposes stands alone wherever its neighbours
are channels first as well, which runtimes fuse and TensorRT keeps in its own layout.

Ensures: the graph computes the same numbers; the values between the two, whose axes are in another
order now, get other names.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_OPERATORS = (
    "Abs Cast Ceil Celu Clip Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu Log Mish "
    "Neg Reciprocal Relu Round Selu Sigmoid Sign Softplus Softsign Sqrt Tanh ThresholdedRelu"
)
_EACH_ALONE = frozenset(_OPERATORS.split())


def cancel_transposes(model: ir.Model) -> int:
    """Take away pairs of Transposes in place; see the module's docstring.

    Args:
        model: Changed in place. Its subgraphs are not searched.

    Returns:
        How many pairs were taken away.
    """
    done = 0
    for node in list(model.graph):
        done += _cancel(model.graph, node)
    for node in reversed(list(model.graph)):
        if node.op_type == "Transpose" and done and not _is_used(node.outputs[0]):
            model.graph.remove(node, safe=True)
    return done


def _cancel(graph: ir.Graph, second: ir.Node) -> bool:
    order = _order(second)
    if order is None or second.outputs[0].is_graph_output():
        return False
    between: list[ir.Node] = []
    first = _producer(second)
    while first is not None and first.op_type in _EACH_ALONE and not first.domain:
        if len(first.outputs[0].uses()) > 1 or first.outputs[0].is_graph_output():
            return False
        between.append(first)
        first = _producer(first)
    before = None if first is None else _order(first)
    if first is None or before is None or order != np.argsort(before).tolist():
        return False
    x, y = first.inputs[0], second.outputs[0]
    assert x is not None
    for node in between:
        value = node.outputs[0]
        value.name, value.shape = f"{value.name}_undone", y.shape
    if between:
        between[-1].replace_input_with(0, x)
    result = between[0].outputs[0] if between else x
    for user, at in tuple(y.uses()):
        user.replace_input_with(at, result)
    graph.remove(second, safe=True)
    return True


def _order(node: ir.Node) -> list[int] | None:
    """The order of axes that a Transpose says; None if it is none or says none."""
    order = node.attributes.get("perm")
    if node.op_type != "Transpose" or node.domain or order is None:
        return None
    return list(order.as_ints())


def _producer(node: ir.Node) -> ir.Node | None:
    value = node.inputs[0] if node.inputs else None
    return None if value is None else value.producer()


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()

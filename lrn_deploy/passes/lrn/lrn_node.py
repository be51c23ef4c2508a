"""One LRN node for an x of any rank, with its channels on axis 1 or last.

The node's kernels take (N, C, H, W) only: channels that come last are brought to the front and
back, and other ranks reshaped::

    x -> Transpose -> Reshape(N, C, -1, 1) -> LRN -> Reshape -> Transpose -> y
"""

from __future__ import annotations

import math

import onnx_ir as ir
from onnx_ir import tape as ir_tape

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn.lrn_written_out import reshape, reshape_like

_RANK = 4


def put_lrn(graph: ir.Graph, node: ir.Node, x: ir.Value, spec: LrnSpec, axis: int) -> ir.Node:
    """Put one LRN node, and what it needs around it, in the place of a node.

    Args:
        graph: Changed in place.
        node: What makes the LRN's output now; the output keeps its name.
        x: What enters it, in fp32, of known rank.
        spec: The parameters, which ONNX's LRN can say.
        axis: Of the channels.

    Returns:
        The LRN node itself: its input and output are of shape (N, C, H, W).
    """
    y = node.outputs[0]
    name = str(y.name)
    tape = ir_tape.Tape(graph)
    last = len(x.shape or ()) - 1
    back_last = axis != 1
    if back_last:
        x = _moved(tape, x, [0, last, *range(1, last)], f"{name}_channels_first")
    shape = x.shape
    assert shape is not None
    entering = x
    if len(shape) != _RANK:
        entering = reshape(tape, x, [0, shape[1], -1, 1], f"{name}_flat")
        _named(entering, f"{name}_flat", _flat(shape, name))
    attributes = {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "bias": spec.k}
    result = tape.op("LRN", [entering], attributes, name=f"{name}_lrn")
    lrn = result.producer()
    assert lrn is not None
    _named(result, f"{name}_normed", entering.shape)
    if entering is not x:
        result = reshape_like(tape, result, x, shape, f"{name}_shaped")
        _named(result, f"{name}_shaped", shape)
    if back_last:
        result = _moved(tape, result, [0, *range(2, last + 1), 1], f"{name}_channels_last")
    for new in tape.nodes:
        new.metadata_props.update(node.metadata_props)
    ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, [y], [result])
    return lrn


def _moved(tape: ir_tape.Tape, x: ir.Value, order: list[int], name: str) -> ir.Value:
    assert x.shape is not None
    value = tape.op("Transpose", [x], {"perm": order}, name=name)
    _named(value, name, ir.Shape([x.shape[axis] for axis in order]))
    return value


def _flat(shape: ir.Shape, name: str) -> ir.Shape:
    lengths = [axis for axis in shape[2:] if isinstance(axis, int)]
    pixels = math.prod(lengths) if len(lengths) == len(shape) - 2 else f"{name}_pixels"
    return ir.Shape([shape[0], shape[1], pixels, 1])


def _named(value: ir.Value, name: str, shape: ir.Shape | None) -> None:
    value.name, value.shape, value.dtype = name, shape, ir.DataType.FLOAT

"""What a quantizer learns from calibration inputs: ranges of values, and shifts of means.

Both extend a copy of the graph by a few reductions and run it; only scalars and one value for each
channel leave the runtime. Nothing here knows which runtime that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lrn_deploy.errors import BadInputError

Array = NDArray[Any]

Evaluate = Callable[[ir.Model], Iterable[dict[str, Array]]]
"""Runs a graph, which may be changed by it, on the calibration inputs and yields all its outputs,
batch by batch; the batches are of equal size."""

Range = tuple[float, float]
"""Smallest and largest value."""


def observe_ranges(model: ir.Model, names: Sequence[str], evaluate: Evaluate) -> dict[str, Range]:
    """The range of each of the values called ``names`` over all calibration inputs.

    Raises:
        BadInputError: If one of them is not finite.
    """
    copy = model.clone()
    values = {value.name: value for value in copy.graph.inputs} | {
        value.name: value for node in copy.graph for value in node.outputs
    }
    copy.graph.outputs.clear()
    for name in names:
        for reduce in ("ReduceMin", "ReduceMax"):
            node = ir.node(reduce, [values[name]], {"keepdims": 0})
            copy.graph.append(node)
            _make_output(copy.graph, node, f"{reduce}_{name}", [])
    low, high = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    for outputs in evaluate(copy):
        for name in names:
            low[name] = min(low[name], float(outputs[f"ReduceMin_{name}"]))
            high[name] = max(high[name], float(outputs[f"ReduceMax_{name}"]))
    for name in names:
        if not np.isfinite([low[name], high[name]]).all():
            raise BadInputError(
                f"The activation '{name}' is not finite on the calibration inputs.",
                "'lrn-deploy validate --layerwise' shows where the network overflows.",
            )
    return {name: (low[name], high[name]) for name in names}


def measure_shifts(
    model: ir.Model,
    nodes: Sequence[ir.Node],
    add_quantized: Callable[[ir.Graph, ir.Node], ir.Value],
    evaluate: Evaluate,
) -> list[NDArray[np.float64]]:
    """By how much quantizing each node moves the mean of each channel of its output.

    Every node runs twice on the same fp32 input, once as it is and once quantized, so that what
    is measured is its own doing and not that of the layers before it.

    Args:
        model: The fp32 graph; left as it is.
        nodes: The nodes to quantize; the channels of their outputs are on axis 1.
        add_quantized: Adds the quantized twin of a node to its graph and returns its output.
        evaluate: Runs graphs on the calibration inputs.

    Returns:
        One array of shape (channels,) for each node: mean of quantized minus exact.
    """
    copy = model.clone()
    graph = copy.graph
    twins = {node.outputs[0].name: node for node in graph}
    graph.outputs.clear()
    names = [f"shift_{node.outputs[0].name}" for node in nodes]
    for node, name in zip(nodes, names, strict=True):
        exact = twins[node.outputs[0].name].outputs[0]
        difference = ir.node("Sub", [add_quantized(graph, twins[exact.name]), exact])
        difference.outputs[0].name = f"{name}_difference"
        assert exact.shape is not None
        axes = [axis for axis in range(len(exact.shape)) if axis != 1]
        over = initializer(graph, f"{name}_axes", np.array(axes, np.int64))
        mean = ir.node("ReduceMean", [difference.outputs[0], over], {"keepdims": 0})
        graph.extend([difference, mean])
        _make_output(graph, mean, name, [exact.shape[1]])
    batches = list(evaluate(copy))
    return [
        np.mean([batch[name].astype(np.float64) for batch in batches], axis=0) for name in names
    ]


def initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Add an initializer to a graph."""
    value = ir.Value(name=name, const_value=ir.Tensor(array, name=name))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value


def serialize(model: ir.Model) -> bytes:
    """The model's bytes; equal models give equal bytes."""
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _make_output(
    graph: ir.Graph, node: ir.Node, name: str, shape: Sequence[int | ir.SymbolicDim]
) -> None:
    value = node.outputs[0]
    value.name, value.type = name, ir.TensorType(ir.DataType.FLOAT)
    value.shape = ir.Shape(shape)
    graph.outputs.append(value)

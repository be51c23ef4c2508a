"""Faults that a conversion can put into the graph of :mod:`tests.support.small_alexnet`.

Each changes an ``onnx.ModelProto`` in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Model = onnx.ModelProto
Array = NDArray[Any]


def node(model: Model, op_type: str, index: int = 0) -> onnx.NodeProto:
    """The ``index``-th node of an operator type."""
    return [item for item in model.graph.node if item.op_type == op_type][index]


def set_attribute(target: onnx.NodeProto, name: str, value: Any) -> None:
    kept = [item for item in target.attribute if item.name != name]
    del target.attribute[:]
    target.attribute.extend([*kept, helper.make_attribute(name, value)])


def get_attribute(target: onnx.NodeProto, name: str) -> Any:
    return next(helper.get_attribute_value(item) for item in target.attribute if item.name == name)


def scale_attribute(target: onnx.NodeProto, name: str, factor: float) -> None:
    set_attribute(target, name, get_attribute(target, name) * factor)


def weight(model: Model, name: str) -> Array:
    tensor = next(item for item in model.graph.initializer if item.name == name)
    return numpy_helper.to_array(tensor).copy()


def set_weight(model: Model, name: str, value: Array) -> None:
    tensor = next(item for item in model.graph.initializer if item.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))


def replace(model: Model, old: onnx.NodeProto, new: list[onnx.NodeProto]) -> None:
    nodes = list(model.graph.node)
    at = nodes.index(old)
    copies = [onnx.NodeProto.FromString(item.SerializeToString()) for item in nodes]
    copies[at : at + 1] = new
    del model.graph.node[:]
    model.graph.node.extend(copies)


def shift_window(model: Model, index: int = 0) -> None:
    """Written out in primitives, with the window one channel further up."""
    lrn = node(model, "LRN", index)
    x, y = lrn.input[0], lrn.output[0]
    size, alpha = get_attribute(lrn, "size"), get_attribute(lrn, "alpha")
    constants = {
        "flat": np.array([0, 1, -1, 1024], np.int64),
        "alpha": np.float32(alpha),
        "k": np.float32(get_attribute(lrn, "bias")),
        "beta": np.float32(get_attribute(lrn, "beta")),
    }
    shape = [dim.dim_value for dim in value_shape(model, x)]
    constants["flat"] = np.array([0, 1, shape[1], shape[2] * shape[3]], np.int64)
    constants["back"] = np.array([0, *shape[1:]], np.int64)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"fault_{name}"))
    half = size // 2
    replace(
        model,
        lrn,
        [
            helper.make_node("Mul", [x, x], ["fault_squares"]),
            helper.make_node("Reshape", ["fault_squares", "fault_flat"], ["fault_rows"]),
            helper.make_node(
                "AveragePool",
                ["fault_rows"],
                ["fault_mean"],
                kernel_shape=[size, 1],
                pads=[half - 1, 0, half + 1, 0],
                count_include_pad=1,
            ),
            helper.make_node("Reshape", ["fault_mean", "fault_back"], ["fault_map"]),
            helper.make_node("Mul", ["fault_map", "fault_alpha"], ["fault_energy"]),
            helper.make_node("Add", ["fault_energy", "fault_k"], ["fault_base"]),
            helper.make_node("Pow", ["fault_base", "fault_beta"], ["fault_power"]),
            helper.make_node("Div", [x, "fault_power"], [y]),
        ],
    )


def value_shape(model: Model, name: str) -> Any:
    value = next(item for item in model.graph.value_info if item.name == name)
    return value.type.tensor_type.shape.dim


def mirror_window(model: Model) -> None:
    """Of an even size: ONNX's window in place of PyTorch's."""
    pool = node(model, "AveragePool")
    first, _, last, _ = get_attribute(pool, "pads")
    assert first != last
    set_attribute(pool, "pads", [last, 0, first, 0])


def swap_norm_and_pool(model: Model, index: int = 0) -> None:
    """Pool first, normalise then, as CaffeNet does and AlexNet does not."""
    lrn, pool = node(model, "LRN", index), node(model, "MaxPool", index)
    x, y, z = lrn.input[0], lrn.output[0], pool.output[0]
    lrn.input[0], lrn.output[0] = y, z
    pool.input[0], pool.output[0] = x, y
    del model.graph.value_info[:]
    nodes = [onnx.NodeProto.FromString(item.SerializeToString()) for item in model.graph.node]
    at = [position for position, item in enumerate(nodes) if item.op_type == "LRN"][index]
    nodes[at], nodes[at + 1] = nodes[at + 1], nodes[at]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def drop_node(model: Model, op_type: str, index: int = 0) -> None:
    old = node(model, op_type, index)
    replace(model, old, [helper.make_node("Identity", [old.input[0]], [old.output[0]])])


def lrn_as_constant(model: Model, index: int = 0) -> None:
    """What LRN is on ordinary inputs, and nothing more: a factor of k ** -beta."""
    lrn = node(model, "LRN", index)
    factor = get_attribute(lrn, "bias") ** -get_attribute(lrn, "beta")
    model.graph.initializer.append(numpy_helper.from_array(np.float32(factor), "fault_factor"))
    replace(model, lrn, [helper.make_node("Mul", [lrn.input[0], "fault_factor"], [lrn.output[0]])])


def average_pool(model: Model, index: int = 0) -> None:
    pool = node(model, "MaxPool", index)
    pool.op_type = "AveragePool"
    kept = [item for item in pool.attribute if item.name in ("kernel_shape", "strides", "pads")]
    del pool.attribute[:]
    pool.attribute.extend(kept)


def leaky(model: Model, index: int = 0) -> None:
    relu = node(model, "Relu", index)
    relu.op_type = "LeakyRelu"
    set_attribute(relu, "alpha", 0.01)

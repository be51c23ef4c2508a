"""Pass ``fuse_plugin``: Relu, LRN and MaxPool -> one node, which a TensorRT plugin can compute.

Before, in fp32 (the Relu and the MaxPool may be missing, and the MaxPool may come first)::

    x -> Relu -> LRN(size, alpha, beta, bias) -> MaxPool(kernel_shape, strides, pads) -> y

or in fp16 and bf16, where LRN stands between Casts::

    x -> Relu -> Cast(FLOAT) -> LRN -> Cast -> MaxPool -> y

After::

    x -> lrn_deploy::relu_lrn_maxpool(size, alpha, beta, bias, kernel_h, kernel_w, ...) -> y

The node's operator is defined in the file itself, as an ONNX function of standard operators. A
runtime that has no plugin of that name, ONNX Runtime or TensorRT for RTX for example, computes
those; so the file means the same everywhere. LRN's parameters come into the function as attributes.
The pool's stand in it as numbers, since TensorRT's parser passes no lists on, and are repeated one
by one at the node, for the plugin. So all fused pools of a kind in a file are alike, and another
one stays a node of its own.

Requires: rank 4; a window of at most 31 in ONNX's convention; between the nodes only values that
nothing else takes. An LRN that is not so is left alone, and the result says why; a Relu or MaxPool
that is not so stays beside it. Ensures: the names of x and y are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
import onnx_ir as ir
from onnx import AttributeProto, TensorProto, helper
from onnx_ir.passes import common as ir_passes

DOMAIN = "lrn_deploy"
VERSION = 1
MAX_SIZE = 31
MAX_POOL = 7
_OLDEST_OPSET = 15
"""CastLike is as old."""
_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

Pool = dict[str, Any]
"""Attributes of a MaxPool."""

_LRN = {
    "size": AttributeProto.INT,
    "alpha": AttributeProto.FLOAT,
    "beta": AttributeProto.FLOAT,
    "bias": AttributeProto.FLOAT,
}
# By these TensorRT's parser finds the plugin, and takes its ahead-of-time implementation.
_FOR_TENSORRT = {"plugin_namespace": DOMAIN, "aot": 1}


@dataclass(frozen=True)
class Fused:
    """What became of one LRN node.

    Attributes:
        name: Operator of the new node; None if the LRN was left alone.
        nodes: Operators of the nodes that it replaces, in order.
        reason: Why the LRN was left alone; empty if it was not.
        input: Name of the value that enters.
        output: Name of the value that leaves.
    """

    name: str | None
    nodes: tuple[str, ...]
    reason: str
    input: str
    output: str


def fuse_plugin(model: ir.Model) -> list[Fused]:
    """Fuse the standard LRN nodes of a graph in place; see the module's docstring.

    Args:
        model: Changed in place. Its subgraphs and functions are not searched.

    Returns:
        What became of each LRN node, in graph order.
    """
    nodes = [node for node in model.graph if node.op_type == "LRN" and node.domain == ""]
    if any(_x(node).shape is None or _x(node).dtype is None for node in nodes):
        ir_passes.ShapeInferencePass()(model)
    pools: dict[str, Pool] = {}
    return [_fuse(model, node, pools) for node in nodes]


def _fuse(model: ir.Model, norm: ir.Node, pools: dict[str, Pool]) -> Fused:
    opset = model.graph.opset_imports.get("", 0)
    reason = _reason_to_leave(norm, opset)
    if reason:
        return Fused(None, (), reason, str(_x(norm).name), str(norm.outputs[0].name))
    row = _with_casts(norm)
    attributes: dict[str, Any] = {
        "size": norm.attributes["size"].as_int(),
        "alpha": norm.attributes.get_float("alpha", 1e-4),
        "beta": norm.attributes.get_float("beta", 0.75),
        "bias": norm.attributes.get_float("bias", 1.0),
    }
    stages = ["lrn"]
    before, after = _producer(row), _taker(row)
    pool = None
    for node, order in ((before, ["maxpool", "lrn"]), (after, ["lrn", "maxpool"])):
        if node is None or pool is not None or not _is_pool(node):
            continue
        longer = [node, *row] if node is before else [*row, node]
        relu = _is_relu(_producer(longer))
        wanted = _pool_attributes(node)
        if pools.setdefault(_name(order, relu=relu), wanted) == wanted:
            row, stages, pool = longer, order, wanted
    before = _producer(row)
    relu = _is_relu(before)
    if before is not None and relu:
        row = [before, *row]
    name = _name(stages, relu=relu)
    attributes |= _one_by_one(pool) if pool else {}
    x, y = _x(row[0]), row[-1].outputs[0]
    node = ir.node(
        name,
        [x],
        attributes | _FOR_TENSORRT,
        domain=DOMAIN,
        version=VERSION,
        outputs=[ir.Value(type=y.type, shape=y.shape)],
        name=f"{y.name}_fused",
    )
    node.metadata_props.update(norm.metadata_props)
    replaced = tuple(taken.op_type for taken in row)
    entered, left = str(x.name), str(y.name)
    ir.convenience.replace_nodes_and_values(model.graph, row[0], row, [node], [y], node.outputs)
    model.graph.opset_imports[DOMAIN] = VERSION
    function = ir.from_proto(function_of(name, opset, pool))
    model.functions[function.identifier()] = function
    return Fused(name, replaced, "", entered, left)


def function_of(name: str, opset: int, pool: Pool | None = None) -> onnx.FunctionProto:
    """The operator ``name`` in standard operators.

    Args:
        name: Its stages in order, joined by ``_``.
        opset: Opset of the standard operators.
        pool: Attributes of its MaxPool, if it has one.
    """
    nodes, value = [], "x"
    for stage in name.split("_"):
        out = f"after_{stage}"
        if stage == "relu":
            nodes.append(helper.make_node("Relu", [value], [out]))
        elif stage == "maxpool":
            nodes.append(helper.make_node("MaxPool", [value], [out], **(pool or {})))
        else:  # LRN computes in fp32, whatever x is
            norm = helper.make_node("LRN", ["wide"], ["normed"])
            for key, kind in _LRN.items():
                norm.attribute.append(AttributeProto(name=key, type=kind, ref_attr_name=key))
            nodes.append(helper.make_node("Cast", [value], ["wide"], to=TensorProto.FLOAT))
            nodes.append(norm)
            nodes.append(helper.make_node("CastLike", ["normed", "x"], [out]))
        value = out
    nodes[-1].output[0] = "y"
    function = helper.make_function(
        *(DOMAIN, name, ["x"], ["y"], nodes, [helper.make_opsetid("", opset)]),
        attributes=[*_LRN, *(_one_by_one(pool) if pool else ())],
    )
    for key, default in _FOR_TENSORRT.items():
        function.attribute_proto.append(helper.make_attribute(key, default))
    return function


def _name(stages: list[str], *, relu: bool) -> str:
    return "_".join(["relu", *stages] if relu else stages)


def _reason_to_leave(norm: ir.Node, opset: int) -> str:
    x, size = _x(norm), norm.attributes["size"].as_int()
    if x.shape is None or x.dtype is None:
        return "the shape or the type of its input is unknown"
    if len(x.shape) != 4:
        return f"its input has rank {len(x.shape)}, and only rank 4 is fused"
    if x.dtype not in _TYPES:
        return f"it computes in {x.dtype.name}"
    if size > MAX_SIZE:
        return f"its size {size} is above {MAX_SIZE}"
    if opset < _OLDEST_OPSET:
        return f"the graph has opset {opset}, and {_OLDEST_OPSET} or newer is needed"
    return ""


def _with_casts(norm: ir.Node) -> list[ir.Node]:
    """The LRN with the Cast on either side, if they undo each other and nothing else is between."""
    before, after = _producer([norm]), _taker([norm])
    if before is None or after is None or {before.op_type, after.op_type} != {"Cast"}:
        return [norm]
    kind = _x(before).dtype
    returns = after.outputs[0].dtype == kind and kind in _TYPES
    return [before, norm, after] if returns else [norm]


def _producer(row: list[ir.Node]) -> ir.Node | None:
    """The standard node before a row, if the row alone takes what it computes."""
    value = _x(row[0])
    node = value.producer()
    alone = len(value.uses()) == 1 and not value.is_graph_output()
    return node if node is not None and alone and node.domain == "" else None


def _taker(row: list[ir.Node]) -> ir.Node | None:
    """The standard node after a row, if it alone takes what the row computes."""
    value = row[-1].outputs[0]
    takers = [use.node for use in value.uses()]
    if len(takers) != 1 or value.is_graph_output() or takers[0].domain:
        return None
    return takers[0]


def _is_relu(node: ir.Node | None) -> bool:
    return node is not None and node.op_type == "Relu"


def _is_pool(node: ir.Node) -> bool:
    """Whether a node is a max pool that the plugin holds."""
    if node.op_type != "MaxPool" or len(node.outputs) > 1:
        return False
    given = node.attributes
    kernel = given["kernel_shape"].as_ints()
    pads = given["pads"].as_ints() if "pads" in given else [0, 0, 0, 0]
    dilations = given["dilations"].as_ints() if "dilations" in given else [1, 1]
    return (
        max(kernel) <= MAX_POOL
        and set(dilations) == {1}
        and list(pads[:2]) == list(pads[2:])
        and all(2 * pad <= size for pad, size in zip(pads, kernel, strict=False))
        and given.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    )


def _pool_attributes(node: ir.Node) -> Pool:
    given = node.attributes
    return {
        "kernel_shape": list(given["kernel_shape"].as_ints()),
        "strides": list(given["strides"].as_ints()) if "strides" in given else [1, 1],
        "pads": list(given["pads"].as_ints()) if "pads" in given else [0, 0, 0, 0],
        "ceil_mode": given.get_int("ceil_mode", 0) or 0,
    }


def _one_by_one(pool: Pool) -> dict[str, int]:
    """A pool's attributes as single numbers."""
    names = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "ceil_mode")
    lists = (pool["kernel_shape"], pool["strides"], pool["pads"][:2], [pool["ceil_mode"]])
    return dict(zip(names, (number for numbers in lists for number in numbers), strict=True))


def _x(node: ir.Node) -> ir.Value:
    x = node.inputs[0]
    assert x is not None
    return x

"""Cutting pieces out of an ONNX graph, so that one layer can be run and looked at alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from google.protobuf.message import DecodeError
from onnx import helper

from lrn_deploy.errors import CheckFailedError, DamagedError
from lrn_deploy.lrn import LrnSpec


class CannotCutError(CheckFailedError):
    """The graph has no such piece; the message says why."""


def parse(data: bytes) -> onnx.ModelProto:
    """The model in ``data``.

    Raises:
        DamagedError: If it is no ONNX model.
    """
    try:
        return onnx.load_model_from_string(data)
    except DecodeError as error:
        raise DamagedError("The graph is no ONNX model.", "Export it again.") from error


def value_names(model: onnx.ModelProto) -> set[str]:
    """Names of the graph's inputs, initializers and node outputs."""
    graph = model.graph
    return {
        *(value.name for value in graph.input),
        *(tensor.name for tensor in graph.initializer),
        *(name for node in graph.node for name in node.output if name),
    }


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> bytes:
    """The model with the intermediate values ``names`` as outputs too, serialized.

    Raises:
        CannotCutError: If the graph has no such value.
    """
    missing = sorted(set(names) - value_names(model))
    if missing:
        raise CannotCutError(f"The graph has no value named {', '.join(missing)}.")
    marked = onnx.ModelProto()
    marked.CopyFrom(model)
    have = {value.name for value in marked.graph.output}
    # ONNX Runtime infers the types; stating them could only contradict it.
    marked.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in have
    )
    return bytes(marked.SerializeToString())


def element_type(model: onnx.ModelProto, name: str) -> int:
    """``TensorProto.DataType`` of a value, or 0 if the graph does not say."""
    graph = model.graph
    for value in (*graph.value_info, *graph.input, *graph.output):
        if value.name == name:
            return int(value.type.tensor_type.elem_type)
    return 0


def between(
    model: onnx.ModelProto, start: str, end: str, shape: Sequence[int | str]
) -> onnx.ModelProto:
    """The piece of the graph that makes ``end`` out of ``start``, as a model of its own.

    Args:
        model: The whole graph.
        start: The value that becomes the piece's input.
        end: The value that becomes its output.
        shape: Shape of ``start``, with strings for dynamic axes. Its type is fp32 where the graph
            does not say.

    Raises:
        CannotCutError: If one of the names is gone, or ``end`` does not follow from ``start``
            alone.
    """
    names = value_names(model)
    for name in (start, end):
        if name not in names:
            raise CannotCutError(f"The graph has no value named '{name}'.")
    graph = model.graph
    makers = {output: at for at, node in enumerate(graph.node) for output in node.output}
    inputs = {value.name for value in graph.input}
    initializers = {tensor.name for tensor in graph.initializer}
    wanted, chosen, seen = [end], set[int](), set[str]()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        if name == start or name in initializers or not name:
            continue
        if name in inputs:
            raise CannotCutError(
                f"'{end}' does not follow from '{start}' alone, but from the input '{name}' too."
            )
        chosen.add(makers[name])
        wanted.extend(_reads(graph.node[makers[name]]))
    if start not in seen:
        raise CannotCutError(f"'{end}' does not depend on '{start}'.")
    piece = helper.make_graph(
        [node for at, node in enumerate(graph.node) if at in chosen],
        "piece",
        [
            helper.make_tensor_value_info(
                start, element_type(model, start) or onnx.TensorProto.FLOAT, list(shape)
            )
        ],
        [onnx.ValueInfoProto(name=end)],
        [tensor for tensor in graph.initializer if tensor.name in seen],
    )
    made = helper.make_model(piece, opset_imports=model.opset_import, functions=model.functions)
    made.ir_version = model.ir_version
    return made


def operators(model: onnx.ModelProto) -> list[str]:
    """Operator types of the graph's nodes, in order."""
    return [node.op_type for node in model.graph.node]


def single_lrn(spec: LrnSpec, channels: int | str = "channels") -> onnx.ModelProto:
    """A graph of one LRN node from ``x`` to ``y``, float32, of any shape of rank 4.

    Args:
        spec: The node's parameters.
        channels: How many channels it takes; a string is any number, which OpenVINO cannot run
            for windows of 5.
    """
    node = helper.make_node(
        "LRN", ["x"], ["y"], size=spec.size, alpha=spec.alpha, beta=spec.beta, bias=spec.k
    )
    axes = ["batch", channels, "height", "width"]
    graph = helper.make_graph(
        [node],
        "lrn",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, axes)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _reads(node: onnx.NodeProto) -> Iterable[str]:
    """What a node reads: its inputs, and what the graphs inside it take from outside."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inside = {
                *(value.name for value in graph.input),
                *(tensor.name for tensor in graph.initializer),
                *(name for inner in graph.node for name in inner.output),
            }
            for inner in graph.node:
                yield from (name for name in _reads(inner) if name not in inside)

"""A network in an ONNX file: read, brought to today's operators, and its batch freed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir
from onnx_ir.passes import common as ir_passes

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.batch import free_batch
from lrn_deploy.onnx_files.convert import convert
from lrn_deploy.onnx_files.floats import as_float32
from lrn_deploy.onnx_files.inputs import (
    check_tensors,
    drop_unused_weights,
    drop_weights_among_inputs,
    fix_sizes,
)
from lrn_deploy.onnx_files.nodes import set_opset
from lrn_deploy.onnx_files.old_operators import rewrite_old_operators
from lrn_deploy.onnx_files.operators import STANDARD, check_operators, every_node, true_opset
from lrn_deploy.onnx_files.order import name_apart, put_in_order
from lrn_deploy.onnx_files.producers import remarks
from lrn_deploy.onnx_files.reading import Array, OnnxFile, read_file
from lrn_deploy.onnx_files.skeleton import first_line, infer

MANY = 200_000
"""No network that is deployed has so many nodes; a file of functions that call functions may."""


@dataclass(frozen=True)
class OnnxNetwork:
    """A network of a file.

    Attributes:
        file: The file. Its message is as it was judged: in order, with the right opset.
        model: The graph: standard operators of a current opset, its values with shapes.
        opset: The opset that the file is written in.
        fixed: Why its batch is of one size; empty if it is of any.
        told: What was cut, corrected or is to be looked at, a sentence each.
    """

    file: OnnxFile
    model: ir.Model
    opset: int
    fixed: str
    told: tuple[str, ...]


def read(path: Path, shape: tuple[int, ...] | None = None) -> OnnxNetwork:
    """Read the network in an ONNX file.

    Args:
        path: The file.
        shape: Shape of the first input without the batch, if the file leaves it open.

    Raises:
        BadInputError: If it cannot be read, or is no network that can be imported; it says why.
    """
    file, opset, told = read_judged(path)
    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    drop_weights_among_inputs(model.graph, file.weights)
    check_tensors(model.graph)
    fix_sizes(model.graph.input, shape)
    dropped, weights = drop_unused_weights(model.graph, file.weights)
    if dropped:
        told = (*told, _without_use(dropped))
    rewrite_old_operators(model, weights, opset)
    graph = _as_ir(convert(model, weights), weights)
    fixed = free_batch(graph)
    ir_passes.RemoveUnusedNodesPass()(graph)
    return OnnxNetwork(file, graph, opset, fixed, (*told, *remarks(model.producer_name)))


def read_judged(path: Path) -> tuple[OnnxFile, int, tuple[str, ...]]:
    """Read a file as a runtime may run it: in order, saying its opset, its numbers in float32.

    Returns:
        The file with its message corrected, its opset, and what was corrected.

    Raises:
        BadInputError: If it cannot be read, or is made of what is not imported.
    """
    file = read_file(path)
    model = file.model
    told: list[str] = []
    if len(model.graph.node) > MANY:
        raise BadInputError(
            f"The graph has {len(model.graph.node)} nodes, more than the {MANY} that are read.",
            "Check that it is the file that you mean.",
        )
    if model.functions:
        model = _inlined(model)
    for node in every_node(model.graph.node):
        if node.domain in STANDARD:
            node.domain = ""
    dropped = put_in_order(model.graph, file.weights)
    name_apart(model.graph)
    if dropped:
        told.append(f"{dropped} nodes that lead to no output were left out.")
    check_operators(model)
    stamps = [entry.version for entry in model.opset_import if entry.domain in STANDARD]
    stamp = max(stamps, default=1)
    opset = true_opset(model.graph.node, stamp)
    if opset != stamp:
        told.append(
            f"The file says opset {stamp}, and its nodes are of opset {opset}, which was taken."
        )
    set_opset(model, opset)
    judged = OnnxFile(file.path, model, file.weights, file.sha256, file.weights_sha256)
    judged = as_float32(judged)
    if judged.types:
        told.append(
            f"The file is in {judged.types}; the bundle, and what it is compared with, are in "
            "float32."
        )
    return judged, opset, tuple(told)


def _as_ir(model: onnx.ModelProto, weights: Mapping[str, Array]) -> ir.Model:
    """The model with the weights, which stand as inputs there, as initialisers."""
    try:
        converted = ir.from_proto(model)
    except Exception as error:  # whatever of it is no message of ONNX's
        raise BadInputError(
            f"The graph cannot be read: {first_line(error)}", "Fetch or export it again."
        ) from error
    graph = converted.graph
    for value in [value for value in graph.inputs if value.name in weights]:
        graph.inputs.remove(value)
        name = str(value.name)
        value.const_value = ir.Tensor(weights[name], name=name)
        graph.register_initializer(value)
    infer(converted)
    return converted


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its own functions put where they are called.

    Raises:
        BadInputError: If one calls itself, or they cannot be put there.
    """
    called = {
        (function.domain, function.name): [
            (node.domain, node.op_type) for node in every_node(function.node)
        ]
        for function in model.functions
    }
    sizes: dict[tuple[str, str], int] = {}
    while len(sizes) < len(called):
        ready = [
            key
            for key, inner in called.items()
            if key not in sizes and all(callee in sizes or callee not in called for callee in inner)
        ]
        if not ready:
            stuck = next(name for domain, name in called if (domain, name) not in sizes)
            raise BadInputError(
                f"The function '{stuck}' of the file calls itself.", "Export the network again."
            )
        for key in ready:
            sizes[key] = sum(sizes.get(callee, 1) for callee in called[key])
    nodes = every_node(model.graph.node)
    if sum(sizes.get((node.domain, node.op_type), 1) for node in nodes) > MANY:
        raise BadInputError(
            f"The functions of the file make more than {MANY} nodes.",
            "Check that it is the file that you mean.",
        )
    try:
        return onnx.inliner.inline_local_functions(model, convert_version=True)
    except Exception as error:  # what onnx throws shares no class of its own
        raise BadInputError(
            f"The functions of the file cannot be put into the graph: {first_line(error)}",
            "Export the network without functions of its own.",
        ) from error


def _without_use(dropped: Mapping[str, int]) -> str:
    first = next(iter(dropped))
    size = sum(dropped.values()) / 1e6
    if len(dropped) == 1:
        return f"The weight '{first}', which nothing uses, was left out ({size:.1f} MB)."
    return (
        f"{len(dropped)} weights that nothing uses, '{first}' first, were left out ({size:.1f} MB)."
    )

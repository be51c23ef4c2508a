"""What training leaves in a file: Dropouts pass their input on, statistics are those it stored.

Where a file asks for more, its network is still in training, and is refused.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.nodes import attribute, drop
from lrn_deploy.onnx_files.order import described, reads


def end_training(graph: onnx.GraphProto, opset: int) -> None:
    """Take out of a graph what is for training only, in place.

    Args:
        graph: Changed in place.
        opset: What it is written in.

    Raises:
        BadInputError: If a Dropout's mask is used, or a BatchNormalization is in training or has
            statistics for each pixel.
    """
    _pass_dropouts_on(graph, opset)
    _check_statistics(graph, opset)
    drop(graph.node, "is_test")


def _pass_dropouts_on(graph: onnx.GraphProto, opset: int) -> None:
    """Let what reads a Dropout read its input instead.

    Raises:
        BadInputError: If a mask is used, or the network is in training.
    """
    if not any(node.op_type == "Dropout" for node in graph.node):
        return
    outputs = {output.name for output in graph.output}
    used = {name for node in graph.node for name in reads(node)} | outputs
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants.update(
        (node.output[0], attribute(node, "value"))
        for node in graph.node
        if node.op_type == "Constant" and attribute(node, "value") is not None
    )
    through: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = through.get(name, name)
        if node.op_type != "Dropout":
            kept.append(node)
            continue
        if len(node.output) > 1 and node.output[1] in used:
            raise BadInputError(
                f"The mask of {described(node)} is used: it means something else in each opset, "
                "and nothing outside training.",
                "Export the network for inference.",
            )
        training = node.input[2] if opset >= 12 and len(node.input) > 2 else ""
        if training and not _is_false(constants.get(training)):
            raise BadInputError(
                f"{described(node)} may be in training: its mode is '{training}'.",
                "Export the network for inference (model.eval() in PyTorch).",
            )
        if node.output[0] in outputs or _read_inside(graph, node.output[0]):
            kept.append(helper.make_node("Identity", [node.input[0]], [node.output[0]]))
        else:
            through[node.output[0]] = node.input[0]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)


def _read_inside(graph: onnx.GraphProto, name: str) -> bool:
    """Whether a graph inside a node reads a value, where no input can be exchanged."""
    return any(
        name in set(reads(node)) - set(node.input) for node in graph.node if len(node.attribute)
    )


def _is_false(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and not numpy_helper.to_array(tensor).any()


def _check_statistics(graph: onnx.GraphProto, opset: int) -> None:
    """Refuse a BatchNormalization that is in training, or per pixel; drop its unused outputs."""
    used = {name for node in graph.node for name in reads(node)}
    used.update(output.name for output in graph.output)
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            continue
        # is_test is 0 unless a file says otherwise; from opset 7 on the outputs tell.
        more = [name for name in node.output[1:] if name]
        training = attribute(node, "training_mode", 0) or (
            opset < 7 and not attribute(node, "is_test", 0)
        )
        if training or any(name in used for name in more):
            raise BadInputError(
                f"{described(node)} is in training: it would normalise by each batch's own "
                "statistics.",
                "Export the network for inference (is_test: 1; model.eval() in PyTorch).",
            )
        if not attribute(node, "spatial", 1):
            raise BadInputError(
                f"{described(node)} has spatial: 0, statistics for each pixel, which opsets after "
                "8 do not have.",
                "Export the network with statistics for each channel.",
            )
        del node.output[1:]

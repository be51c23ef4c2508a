"""The last hidden layer of an ONNX graph as one more output: what enters its last linear layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrn_deploy.bundle import ArtifactData, LayerTensor
from lrn_deploy.serving.errors import NotFoundError

if TYPE_CHECKING:
    import onnx

_LINEAR = frozenset({"Gemm", "MatMul"})
_AFTER = frozenset(
    {"Add", "Cast", "DequantizeLinear", "Flatten", "Identity", "LogSoftmax", "QuantizeLinear"}
    | {"Reshape", "Softmax", "Squeeze"}
)
"""Operators that may stand between the last linear layer and the output."""
_CODING = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear"})
"""Operators that write the same values in another way."""


@dataclass(frozen=True)
class Embedding:
    """Where a network's embedding is.

    Attributes:
        tensor: The graph's value that holds it, of shape (N, dimension).
        layer: The torch module whose output it is, or the value's own name if that is not known.
        dimension: Its length.
    """

    tensor: str
    layer: str
    dimension: int


def expose(
    artifact: ArtifactData, output: str, layers: tuple[LayerTensor, ...]
) -> tuple[ArtifactData, Embedding]:
    """Make a graph give its last hidden layer too.

    Args:
        artifact: An ONNX graph.
        output: The output whose last linear layer is meant.
        layers: Torch modules by the graph's values.

    Raises:
        NotFoundError: If no linear layer leads to the output.
    """
    import onnx

    graph = onnx.load_model_from_string(artifact.data).graph
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(output)
    while node is not None and node.op_type in _AFTER:
        node = makers.get(node.input[0]) or makers.get(node.input[-1])
    if node is None or node.op_type not in _LINEAR:
        raise NotFoundError("its output does not come from a fully connected layer.")
    weight = _source(makers, node.input[1])
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    if weight not in shapes or len(shapes[weight]) != 2:
        raise NotFoundError("the weight of its last layer is not stored as a matrix.")
    flipped = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    tensor = node.input[0]
    source = _source(makers, tensor)
    names = [layer.module for layer in layers if layer.tensor == source]
    embedding = Embedding(tensor, names[-1] if names else source, shapes[weight][int(flipped)])
    return replace(artifact, data=artifact.data + _further_output(tensor)), embedding


def _source(makers: dict[str, onnx.NodeProto], name: str) -> str:
    """The value that ``name`` is but another way to write of."""
    while (node := makers.get(name)) is not None and node.op_type in _CODING:
        name = node.input[0]
    return name


def _further_output(name: str) -> bytes:
    """What makes ``name`` an output when it is appended to a serialized model.

    Concatenated protobuf messages are one message, of which repeated fields are joined; so hundreds
    of megabytes of weights need not be written anew.
    """
    import onnx

    output = onnx.ValueInfoProto(name=name)
    return onnx.ModelProto(graph=onnx.GraphProto(output=[output])).SerializeToString()

"""Which layer of the network a runtime's kernel belongs to, told by names.

Runtimes fuse nodes and name the result after one of them: ONNX Runtime calls a convolution with
its Relu ``fused node_Conv_5``, ``relu_nchwc`` or ``node_Conv_5_token_1``, OpenVINO
``node_Conv_5/WithoutBiases``. What lies inside an LRN layer, however it is written in the graph,
belongs to that layer. Kernels that only convert, between layouts of memory or to and from int8,
belong to none and are told together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from lrn_deploy.bundle import Manifest
from lrn_deploy.errors import BadInputError
from lrn_deploy.passes.lrn.lrn_blocks import find_lrn_nodes

_ADDED = re.compile(r"^fused |_nchwc$|_token_\d+$|/[^/]*$")
"""What runtimes put before or behind the name of a node or a value."""
_LAYOUTS = frozenset({"Reorder", "ReorderInput", "ReorderOutput", "Transpose"})
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear", "FakeQuantize"})
_FUSED_BEHIND = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "Add", *_QUANTIZERS})
"""Operators that a runtime computes together with the layer before them."""


@dataclass(frozen=True)
class Layer:
    """A layer: its name for people, and its operator."""

    name: str
    kind: str


LAYOUTS = Layer("changes of layout", "layout")
CASTS = Layer("to and from int8", "quantize")


class LayerNames:
    """The layers of one artifact.

    Args:
        data: Its graph, serialised ONNX.
        manifest: The bundle's, which knows the network's modules and its LRN layers.
    """

    def __init__(self, data: bytes, manifest: Manifest) -> None:
        graph = ir.from_proto(onnx.load_model_from_string(data)).graph
        self._modules = {layer.tensor: layer.module for layer in manifest.layers}
        self._nodes: dict[str, ir.Node] = {}
        for at, node in enumerate(graph):
            names = (f"{node.op_type}_{at}", *(value.name for value in node.outputs), node.name)
            self._nodes |= {name: node for name in names if name}
        self._lrn: dict[ir.Node, str] = {}
        for layer in manifest.lrn_layers:
            try:
                inside = find_lrn_nodes(graph, [(layer.input, layer.output)])
            except BadInputError:
                continue  # a pass renamed what bounds it, so its nodes stand for themselves
            self._lrn |= dict.fromkeys(inside, layer.name)

    def find(self, name: str, kind: str) -> Layer:
        """The layer of a kernel.

        Args:
            name: The runtime's name of it.
            kind: The runtime's operator.
        """
        node, inner = self._nodes.get(name), name
        while node is None and (match := _ADDED.search(inner)):
            inner = inner[: match.start()] + inner[match.end() :]
            node = self._nodes.get(inner)
        if node is not None and node in self._lrn:
            return Layer(self._lrn[node], "LRN")
        if kind in _QUANTIZERS:
            return CASTS
        if node is None:
            return LAYOUTS if kind in _LAYOUTS else Layer(name, kind)
        node = _computed_with(node, kind)
        output = node.outputs[0].name or ""
        return Layer(self._modules.get(output) or node.name or output, node.op_type)


def _computed_with(node: ir.Node, kind: str) -> ir.Node:
    """The node that the kernel is about: the convolution, where it has the name of its Relu."""
    before: ir.Node | None = node
    while before is not None and before.op_type not in kind:
        if before.op_type not in _FUSED_BEHIND or not before.inputs or before.inputs[0] is None:
            return node
        before = before.inputs[0].producer()
    return before or node

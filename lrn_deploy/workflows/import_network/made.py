"""What importing made of files, of whatever kind they were: all that a bundle is written from."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from lrn_deploy.bundle import LayerTensor, LrnLayer, LrnLike, ModelSource, Preprocessing, TensorSpec


@dataclass(frozen=True)
class MadeNetwork:
    """A network that was read, and what a manifest says of it.

    Attributes:
        model: Its canonical graph.
        source: Where it is from.
        inputs: Its inputs.
        outputs: Its outputs.
        preprocessing: How an image becomes its input; None if it takes none.
        lrn_layers: Its LRN layers, in the order of the graph.
        lrn_like: What looks like LRN and is none of ONNX's.
        layers: Which value is which layer's output.
        lrn: For each LRN its parameters and where each was read, a sentence each.
        told: What was cut, chosen or is not known, a sentence each.
        beside: Whether files that nobody named, beside those that were, hold weights too.
    """

    model: ir.Model
    source: ModelSource
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing | None
    lrn_layers: tuple[LrnLayer, ...]
    lrn_like: tuple[LrnLike, ...]
    layers: tuple[LayerTensor, ...]
    lrn: tuple[str, ...]
    told: tuple[str, ...]
    beside: bool = False

"""The canonical ONNX graph of a network: fp32, standard operators, LRN whole, dynamic batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.bundle import LayerTensor, LrnLayer, LrnLike, Preprocessing, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.export.input_values import with_values
from lrn_deploy.export.options import MIN_OPSET
from lrn_deploy.export.serialize import serialize
from lrn_deploy.network import Network
from lrn_deploy.network.inputs import ONLY, one_input
from lrn_deploy.passes.lrn.legalize_lrn import Legalized, legalize_lrn
from lrn_deploy.passes.lrn.raise_lrn import Raised, raise_lrn

if TYPE_CHECKING:
    import torch
    from torch import nn

MAX_IR_VERSION = 10
MODEL_LIMIT = 2**31 - 1
SMALL_WEIGHT = 4096
"""Weights of up to so many bytes (shapes, scalars) stay in the graph that is checked."""
WRAPPED = "network"
"""Attribute under which the preprocessing wrapper holds the network."""


@dataclass(frozen=True)
class OnnxExport:
    """A canonical graph and what is known about it.

    Attributes:
        data: The serialized ONNX model.
        inputs: Its inputs.
        outputs: Its outputs.
        lrn_layers: Its LRN layers, in the order of the graph.
        lrn_like: What looks like LRN and was left as the network writes it.
        layers: Which value is which module's output.
    """

    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    lrn_layers: tuple[LrnLayer, ...]
    lrn_like: tuple[LrnLike, ...]
    layers: tuple[LayerTensor, ...]


def to_onnx(
    network: Network, preprocessing: Preprocessing | None = None, *, opset: int = MIN_OPSET
) -> OnnxExport:
    """The canonical graph of a network: fp32, standard operators, LRN whole, dynamic batch.

    Args:
        network: The network.
        preprocessing: Put into the graph if its ``in_graph`` is set.
        opset: Opset of the default domain.

    Raises:
        BadInputError: If the network cannot be exported.
    """
    from lrn_deploy.export import capture

    module, examples = _module_and_examples(network, preprocessing)
    model = capture.capture(module, examples, opset=opset)
    raised = raise_lrn(model)
    raised_paths = [capture.module_path(region.node) for region in raised]
    paths = capture.lrn_paths(model)
    layers = capture.layer_values(model, module)
    done = legalize_lrn(model)
    weights = network.source.weights
    capture.clean(
        model,
        {
            "model": network.source.name,
            "factory": network.source.factory,
            "weights": weights.note,
            "weights_sha256": weights.sha256 or "",
            "lrn_deploy": __version__,
        },
    )
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    large = take_large_weights(model.graph)
    if sum(tensor.nbytes for tensor in large.values()) > MODEL_LIMIT:
        raise BadInputError("The network is larger than 2 GiB, more than one ONNX file can hold.")
    skeleton = ir.to_proto(model)
    check_graph(skeleton, large)
    by_hand = list(zip(raised_paths, raised, strict=True))
    lrn_layers = [
        *(_called(path, form) for path, form in zip(paths, done, strict=True)),
        *(_raised(path, region) for path, region in by_hand if region.spec is not None),
    ]
    order = {output.name: at for at, node in enumerate(model.graph) for output in node.outputs}
    return OnnxExport(
        data=serialize(skeleton, large),
        inputs=tuple(
            with_values(value, _tensor_spec(value), network.inputs) for value in model.graph.inputs
        ),
        outputs=tuple(_tensor_spec(value) for value in model.graph.outputs),
        lrn_layers=tuple(sorted(lrn_layers, key=lambda layer: order[layer.output])),
        lrn_like=tuple(
            LrnLike(name=_own_path(path), reason=region.reason)
            for path, region in by_hand
            if region.spec is None
        ),
        layers=tuple(
            LayerTensor(module=_own_path(path), tensor=str(value.name)) for path, value in layers
        ),
    )


def _called(path: str, item: Legalized) -> LrnLayer:
    """The record of an LRN that PyTorch was called for."""
    return LrnLayer(
        name=_own_path(path),
        spec=item.spec,
        convention="cross-map" if item.convention == "cross-map" else "torch",
        form=item.form,
        reason=item.reason,
        input=str(item.input.name),
        output=str(item.output.name),
        shape=_shape(item.input),
    )


def _raised(path: str, item: Raised) -> LrnLayer:
    """The record of operators that were proven to be an LRN."""
    assert item.spec is not None
    return LrnLayer(
        name=_own_path(path),
        spec=item.spec,
        convention=item.convention,
        origin="raised",
        proven_from=item.proven_from,
        form="written out" if item.reason else "kept",
        reason=item.reason,
        input=item.input,
        output=item.output,
        shape=_shape(item.x),
    )


def check_graph(skeleton: onnx.ModelProto, weights: dict[str, ir.TensorProtocol]) -> None:
    """Run the full ONNX checker, with strict shape inference, on all but the weights' bytes.

    The weights stand as graph inputs in what is checked: a quarter of a gigabyte of them would
    take longer to check than the graph took to make.

    Raises:
        onnx.checker.ValidationError: If the graph is not valid.
    """
    checked = onnx.ModelProto()
    checked.CopyFrom(skeleton)
    checked.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, tensor.dtype.value, list(tensor.shape.numpy()))
        for name, tensor in weights.items()
    )
    onnx.checker.check_model(checked, full_check=True)


def take_large_weights(graph: ir.Graph) -> dict[str, ir.TensorProtocol]:
    """Take all but small weights (shapes, scalars) out of the graph, by name."""
    large = {
        name: value.const_value
        for name, value in graph.initializers.items()
        if value.const_value is not None and value.const_value.nbytes > SMALL_WEIGHT
    }
    for name in large:
        del graph.initializers[name]
    return large


def _module_and_examples(
    network: Network, preprocessing: Preprocessing | None
) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """What is traced, and its inputs by name, with a batch of 2."""
    import torch

    from lrn_deploy.export.wrapper import with_preprocessing

    if preprocessing is None or not preprocessing.in_graph:
        specs = network.inputs or (one_input(network.source.input_shape),)
        zeros = {
            spec.name: torch.zeros(spec.at_batch(2), dtype=getattr(torch, spec.dtype))
            for spec in specs
        }
        return network.module, zeros
    channels, height, width = network.source.input_shape
    example = torch.zeros(2, height, width, channels, dtype=torch.uint8)
    return with_preprocessing(network.module, preprocessing), {ONLY: example}


def _own_path(path: str) -> str:
    """A module's path without the wrapper that puts preprocessing into the graph."""
    return path.removeprefix(f"{WRAPPED}.") or "(top)"


def _shape(value: ir.Value) -> tuple[int | str, ...]:
    assert value.shape is not None
    return tuple(axis if isinstance(axis, int) else str(axis.value) for axis in value.shape)


def _tensor_spec(value: ir.Value) -> TensorSpec:
    assert value.dtype is not None
    return TensorSpec(name=str(value.name), dtype=str(value.dtype.numpy()), shape=_shape(value))

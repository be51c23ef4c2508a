"""The canonical ONNX graph of a network: fp32, standard operators, LRN whole, dynamic batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.bundle import LayerTensor, LrnLayer, Preprocessing, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.export.serialize import serialize
from lrn_deploy.network import Network
from lrn_deploy.passes.legalize_lrn import legalize_lrn
from lrn_deploy.passes.raise_lrn import raise_lrn

if TYPE_CHECKING:
    import torch
    from torch import nn

MIN_OPSET = 18
MAX_OPSET = 20
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
        lrn_layers: Its LRN layers, as the torch module defines them.
        layers: Which value is which module's output.
    """

    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    lrn_layers: tuple[LrnLayer, ...]
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

    module, example = _module_and_example(network, preprocessing)
    model = capture.capture(module, example, opset=opset)
    raise_lrn(model)  # those written out by hand; lrn_layers lists what torch was called with
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
    large = _take_large_weights(model.graph)
    if sum(tensor.nbytes for tensor in large.values()) > MODEL_LIMIT:
        raise BadInputError("The network is larger than 2 GiB, more than one ONNX file can hold.")
    skeleton = ir.to_proto(model)
    check_graph(skeleton, large)
    return OnnxExport(
        data=serialize(skeleton, large),
        inputs=tuple(_tensor_spec(value) for value in model.graph.inputs),
        outputs=tuple(_tensor_spec(value) for value in model.graph.outputs),
        lrn_layers=tuple(
            LrnLayer(
                name=_own_path(path),
                spec=item.spec,
                form=item.form,
                reason=item.reason,
                input=str(item.input.name),
                output=str(item.output.name),
                shape=_shape(item.input),
            )
            for path, item in zip(paths, done, strict=True)
        ),
        layers=tuple(
            LayerTensor(module=_own_path(path), tensor=str(value.name)) for path, value in layers
        ),
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


def _take_large_weights(graph: ir.Graph) -> dict[str, ir.TensorProtocol]:
    """Take all but small weights (shapes, scalars) out of the graph, by name."""
    large = {
        name: value.const_value
        for name, value in graph.initializers.items()
        if value.const_value is not None and value.const_value.nbytes > SMALL_WEIGHT
    }
    for name in large:
        del graph.initializers[name]
    return large


def _module_and_example(
    network: Network, preprocessing: Preprocessing | None
) -> tuple[nn.Module, torch.Tensor]:
    """What is traced, and an input for it with a batch of 2."""
    import torch

    from lrn_deploy.export.wrapper import with_preprocessing

    if preprocessing is None or not preprocessing.in_graph:
        return network.module, torch.zeros(2, *network.source.input_shape)
    channels, height, width = network.source.input_shape
    example = torch.zeros(2, height, width, channels, dtype=torch.uint8)
    return with_preprocessing(network.module, preprocessing), example


def _own_path(path: str) -> str:
    """A module's path without the wrapper that puts preprocessing into the graph."""
    return path.removeprefix(f"{WRAPPED}.") or "(top)"


def _shape(value: ir.Value) -> tuple[int | str, ...]:
    assert value.shape is not None
    return tuple(axis if isinstance(axis, int) else str(axis.value) for axis in value.shape)


def _tensor_spec(value: ir.Value) -> TensorSpec:
    assert value.dtype is not None
    return TensorSpec(name=str(value.name), dtype=str(value.dtype.numpy()), shape=_shape(value))

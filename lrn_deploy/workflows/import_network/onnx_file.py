"""A network in an ONNX file: its graph with every LRN right, and what the manifest says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.backends.onnx_source import runtime_of
from lrn_deploy.bundle import (
    LayerTensor,
    LrnLayer,
    LrnLike,
    ModelSource,
    Preprocessing,
    TensorSpec,
    Weights,
)
from lrn_deploy.bundle.said import complete
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.onnx_files import OnnxNetwork, read
from lrn_deploy.onnx_files.batch import BATCH, free_batch
from lrn_deploy.onnx_files.inputs import TYPES
from lrn_deploy.passes.cancel_transposes import cancel_transposes
from lrn_deploy.passes.lrn.legalize_lrn import Legalized, choose_form, write_out_lrn
from lrn_deploy.passes.lrn.raise_lrn import Raised, raise_lrn
from lrn_deploy.workflows.import_network.made import MadeNetwork
from lrn_deploy.workflows.import_network.options import ImportOptions

_PARAMETERS = {"size": "size", "alpha": "alpha", "beta": "beta", "bias": "k"}
"""What the attributes of an LRN node are called here."""


def made_of_onnx(path: Path, options: ImportOptions, name: str) -> MadeNetwork:
    """Read a network in an ONNX file.

    Args:
        path: The file.
        options: What else is said of it.
        name: What the bundle is called; empty: as the file.

    Raises:
        BadInputError: If the file cannot be read or is of no network that can be imported.
    """
    if options.mean is not None:
        raise BadInputError(
            "A mean file belongs to a network of Caffe's, not to an ONNX file.",
            "Give the numbers with --mean, and --std with them.",
        )
    if options.stages:
        raise BadInputError(
            "A stage belongs to a network of Caffe's, not to an ONNX file.", "Leave it out."
        )
    network = read(path, options.input_shape)
    model = network.model
    own = set(_values(model))
    read_from = {
        str(node.outputs[0].name): frozenset(node.attributes)
        for node in model.graph
        if node.op_type == "LRN" and not node.domain
    }
    names = {str(node.outputs[0].name): str(node.name or "") for node in model.graph}
    raised = raise_lrn(model)
    cancel_transposes(model)
    # One LRN node treats each row alone, which of what it was made of could not be proven.
    fixed = network.fixed and free_batch(model)
    stuck = next((node for node in model.graph if node.op_type == "If"), None)
    if stuck is not None:
        raise BadInputError(
            f"If '{stuck.name or stuck.outputs[0].name}' chooses between two graphs; only networks "
            "without control flow are imported.",
            "Export the network for inputs of one size, or simplify the file with onnxslim.",
        )
    done = [_as_in_file(form) for form in write_out_lrn(model, _why) if _name(form) in read_from]
    specs = tuple(_tensor(value) for value in model.graph.inputs)
    outputs = tuple(_tensor(value) for value in model.graph.outputs)
    runtime, remark = runtime_of(network.file, network.opset)
    source = _source(network, name or path.stem, specs[0].shape[1:], runtime)
    _say_source(model, source)
    order = _values(model)
    layers = sorted(
        [
            *(_layer(form, names, path) for form in done),
            *(_raised(region, names) for region in raised if region.spec is not None),
        ],
        key=lambda layer: order.index(layer.output),
    )
    return MadeNetwork(
        model=model,
        source=source,
        inputs=specs,
        outputs=outputs,
        preprocessing=_preprocessing(options, specs),
        lrn_layers=tuple(layers),
        lrn_like=tuple(
            LrnLike(name=names.get(region.output) or region.output, reason=region.reason)
            for region in raised
            if region.spec is None
        ),
        layers=_layers(model, own),
        lrn=tuple(_sentence(layer, read_from.get(layer.output, frozenset())) for layer in layers),
        told=(
            *network.told,
            *([f"The batch stays {specs[0].shape[0]}: {fixed}."] if fixed else []),
            *([remark] if remark else []),
        ),
        beside=network.file.sha256 != network.file.weights_sha256,
    )


def _why(spec: LrnSpec, rank: int) -> str:
    """Why an LRN node of the file is written out; empty if it stays."""
    if spec.size % 2 == 0:
        return f"size {spec.size} is even, which ONNX Runtime does not take"
    return choose_form(spec, rank)[1]


def _as_in_file(item: Legalized) -> Legalized:
    """The same with parameters as people write them: the file has them in fp32."""
    spec = item.spec
    alpha, beta, k = (float(str(np.float32(x))) for x in (spec.alpha, spec.beta, spec.k))
    return replace(item, spec=LrnSpec(spec.size, alpha, beta, k))


def _name(item: Legalized) -> str:
    return str(item.output.name)


def _layer(item: Legalized, names: dict[str, str], path: Path) -> LrnLayer:
    """The record of an LRN node of the file."""
    return LrnLayer(
        name=names.get(_name(item)) or _name(item),
        spec=item.spec,
        convention="onnx",
        origin="onnx",
        proven_from=path.name,
        form=item.form,
        reason=item.reason,
        input=str(item.input.name),
        output=_name(item),
        shape=_shape(item.input),
    )


def _raised(item: Raised, names: dict[str, str]) -> LrnLayer:
    """The record of operators of the file that were proven to be an LRN."""
    assert item.spec is not None
    return LrnLayer(
        name=names.get(item.output) or item.node.name or item.output,
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


def _sentence(layer: LrnLayer, said: frozenset[str]) -> str:
    """One LRN with its parameters and where each is from."""
    spec = layer.spec
    values = {"size": f"{spec.size}", "alpha": f"{spec.alpha:g}"}
    values |= {"beta": f"{spec.beta:g}", "bias": f"{spec.k:g}"}
    if layer.origin == "raised":
        where = dict.fromkeys(values, "")
        region = f"across channels, {layer.described_origin}"
    else:
        where = {
            name: f" ({layer.proven_from})" if name in said else " (ONNX's default)"
            for name in values
        }
        region = "across channels (ONNX's LRN)"
    told = [f"{_PARAMETERS[name]} {value}{where[name]}" for name, value in values.items()]
    told.insert(2, f"divided by {spec.size}")
    return f"{layer.name}: {region}, {', '.join(told)}"


def _source(
    network: OnnxNetwork,
    name: str,
    shape: tuple[int | str, ...],
    runtime: Literal["onnxruntime", "openvino"],
) -> ModelSource:
    file = network.file
    path = file.path.resolve()
    return ModelSource(
        name=name,
        factory=str(path),
        origin="onnx",
        sha256=file.sha256,
        runtime=runtime,
        input_shape=tuple(axis for axis in shape if isinstance(axis, int)),
        weights=Weights(
            kind="file",
            file=str(path),
            sha256=file.weights_sha256,
            note=f"{file.parameters:,} parameters from {path.name}, opset {network.opset}",
        ),
    )


def _say_source(model: ir.Model, source: ModelSource) -> None:
    model.producer_name, model.producer_version = "lrn-deploy", __version__
    model.metadata_props.clear()
    model.metadata_props.update(
        {
            "model": source.name,
            "factory": source.factory,
            "weights": source.weights.note,
            "weights_sha256": source.weights.sha256 or "",
            "lrn_deploy": __version__,
        }
    )


def _preprocessing(options: ImportOptions, specs: tuple[TensorSpec, ...]) -> Preprocessing | None:
    shape = tuple(axis for axis in specs[0].shape[1:] if isinstance(axis, int))
    image = len(specs) == 1 and specs[0].dtype == "float32"
    return complete(options.preprocessing, shape if image else ())


def _layers(model: ir.Model, own: set[str]) -> tuple[LayerTensor, ...]:
    """The values with a batch that stand in the file by the same names, by their nodes' names."""
    listed = [
        (str(node.name or node.outputs[0].name), str(node.outputs[0].name))
        for node in model.graph
        if node.outputs[0].name in own
        and node.outputs[0].shape is not None
        and len(node.outputs[0].shape) > 0
        and str(node.outputs[0].shape[0]) == BATCH
    ]
    names = [name for name, _ in listed]
    return tuple(
        LayerTensor(module=name if names.count(name) == 1 else tensor, tensor=tensor)
        for name, tensor in listed
    )


def _values(model: ir.Model) -> list[str]:
    return [str(value.name) for node in model.graph for value in node.outputs if value.name]


def _tensor(value: ir.Value) -> TensorSpec:
    dtype = value.dtype
    if dtype is None or int(dtype) not in TYPES or value.shape is None:
        raise BadInputError(
            f"The type of '{value.name}', which goes in or out, cannot be told or is not imported.",
            "Export the network with tensors of float32 or of integers.",
        )
    return TensorSpec(name=str(value.name), dtype=TYPES[int(dtype)], shape=_shape(value))


def _shape(value: ir.Value) -> tuple[int | str, ...]:
    assert value.shape is not None
    return tuple(
        axis if isinstance(axis, int) else str(axis.value or f"dynamic_{at}")
        for at, axis in enumerate(value.shape)
    )

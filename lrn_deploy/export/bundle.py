"""Export a network into a new bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    FileRecord,
    LayerTensor,
    LrnLayer,
    Manifest,
    Preprocessing,
    TensorSpec,
    check_target,
    dump,
    new_bundle,
    sha256,
    write_atomic,
)
from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.models import ZOO
from lrn_deploy.network import Network, load_network, require_torch

if TYPE_CHECKING:
    import torch
    from torch import nn

MIN_OPSET = 18
MAX_OPSET = 20
MAX_IR_VERSION = 10
MODEL_FILE = "model.onnx"
MODEL_LIMIT = 2**31 - 1
SMALL_WEIGHT = 4096
"""Weights of up to so many bytes (shapes, scalars) are checked with their values."""
WRAPPED = "network"
"""Attribute under which the preprocessing wrapper holds the network."""


@dataclass(frozen=True)
class ExportRequest:
    """What to export.

    Attributes:
        factory: A name of the zoo, ``package.module:factory`` or ``file.py:factory``.
        weights: A safetensors file or a checkpoint; None as in ``load_network``.
        seed: Seed of random weights.
        input_shape: Shape of one input without the batch, if the network does not say.
        opset: Opset of the graph's default domain.
        uint8_input: Take uint8 images (N, H, W, C), with preprocessing inside the graph.
        labels: Text file with one class name in each line.
    """

    factory: str
    weights: Path | None = None
    seed: int = 0
    input_shape: tuple[int, ...] | None = None
    opset: int = MIN_OPSET
    uint8_input: bool = False
    labels: Path | None = None

    def key(self) -> str:
        """Digest of all that determines the result, or "" if that cannot be known.

        It can for networks of the zoo. A user's factory may depend on anything.
        """
        entry = ZOO.get(self.factory)
        if entry is None:
            return ""
        facts = {
            "factory": self.factory,
            "code": entry.digest(),
            "weights": _file_digest(self.weights),
            "labels": _file_digest(self.labels),
            "seed": self.seed,
            "opset": self.opset,
            "uint8": self.uint8_input,
            "tools": _tools(),
        }
        return sha256(json.dumps(facts, sort_keys=True).encode())


def current_bundle(request: ExportRequest, path: Path) -> Bundle | None:
    """The bundle at ``path`` if it is what ``request`` would give again, undamaged; else None."""
    key = request.key()
    if not key or not (path / MANIFEST).is_file():
        return None
    try:
        bundle = Bundle.open(path)
        if bundle.manifest.artifact("model").key != key:
            return None
        bundle.load("model")
    except LrnDeployError:
        return None
    return bundle


def export_bundle(request: ExportRequest, path: Path, *, force: bool = False) -> Bundle:
    """Export a network into a new bundle at ``path``.

    Args:
        request: What to export.
        path: Folder of the bundle to be.
        force: Replace a bundle that is there.

    Returns:
        The bundle, with ``model.onnx`` and its manifest.

    Raises:
        BadInputError: If the network cannot be loaded or exported, or ``path`` is taken.
        MissingError: If torch is not installed.
        CannotWriteError: If the bundle cannot be written; nothing is left behind.
    """
    require_torch()
    check_target(path, force=force)
    if not MIN_OPSET <= request.opset <= MAX_OPSET:
        raise BadInputError(
            f"Opset {request.opset} is not supported.",
            f"Choose one from {MIN_OPSET} to {MAX_OPSET}; every current runtime takes {MIN_OPSET}.",
        )
    labels = _read_labels(request.labels)
    network = load_network(
        request.factory,
        weights=request.weights,
        seed=request.seed,
        input_shape=request.input_shape,
    )
    preprocessing = _preprocessing(network, uint8_input=request.uint8_input)
    exported = to_onnx(network, preprocessing, opset=request.opset)
    labels = labels or network.labels
    with new_bundle(path, force=force) as folder:
        write_atomic(folder / MODEL_FILE, exported.data)
        label_record = None
        if labels:
            text = ("\n".join(labels) + "\n").encode()
            write_atomic(folder / "labels.txt", text)
            label_record = FileRecord(file="labels.txt", sha256=sha256(text), size=len(text))
        artifact = Artifact(
            file=MODEL_FILE,
            sha256=sha256(exported.data),
            size=len(exported.data),
            format="onnx",
            built_by={"command": "export", **_tools()},
            key=request.key(),
            options={"opset": request.opset},
        )
        manifest = Manifest(
            model=network.source,
            inputs=exported.inputs,
            outputs=exported.outputs,
            preprocessing=preprocessing,
            labels=label_record,
            lrn_layers=exported.lrn_layers,
            layers=exported.layers,
            artifacts={"model": artifact},
        )
        write_atomic(folder / MANIFEST, dump(manifest))
    return Bundle.open(path)


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
    from lrn_deploy.passes.legalize_lrn import legalize_lrn

    module, example = _module_and_example(network, preprocessing)
    model = capture.capture(module, example, opset=opset)
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
    weights_held = [value.const_value for value in model.graph.initializers.values()]
    weight_bytes = sum(tensor.nbytes for tensor in weights_held if tensor is not None)
    if weight_bytes > MODEL_LIMIT:
        raise BadInputError("The network is larger than 2 GiB, more than one ONNX file can hold.")
    proto = ir.to_proto(model)
    check_graph(proto)
    return OnnxExport(
        data=proto.SerializeToString(),
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


def check_graph(proto: onnx.ModelProto) -> None:
    """Run the full ONNX checker, with strict shape inference, on all but the weights' bytes.

    Large weights stand as graph inputs in what is checked: a quarter of a gigabyte of them would
    take longer to check than the graph took to make.

    Raises:
        onnx.checker.ValidationError: If the graph is not valid.
    """
    skeleton = onnx.ModelProto()
    skeleton.ir_version = proto.ir_version
    skeleton.opset_import.extend(proto.opset_import)
    graph = skeleton.graph
    graph.name = proto.graph.name
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.value_info.extend(proto.graph.value_info)
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) > SMALL_WEIGHT:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
        else:
            graph.initializer.append(tensor)
    onnx.checker.check_model(skeleton, full_check=True)


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


def _preprocessing(network: Network, *, uint8_input: bool) -> Preprocessing | None:
    if not uint8_input:
        return network.preprocessing
    if network.preprocessing is None:
        raise BadInputError(
            f"'{network.source.name}' takes inputs of shape {network.source.input_shape}, "
            "which are no images, so it cannot take uint8 images.",
            "Leave out '--input uint8'.",
        )
    return network.preprocessing.model_copy(update={"in_graph": True})


def _own_path(path: str) -> str:
    """A module's path without the wrapper that puts preprocessing into the graph."""
    return path.removeprefix(f"{WRAPPED}.") or "(top)"


def _shape(value: ir.Value) -> tuple[int | str, ...]:
    assert value.shape is not None
    return tuple(axis if isinstance(axis, int) else str(axis.value) for axis in value.shape)


def _tensor_spec(value: ir.Value) -> TensorSpec:
    assert value.dtype is not None
    return TensorSpec(name=str(value.name), dtype=str(value.dtype.numpy()), shape=_shape(value))


def _read_labels(path: Path | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        return tuple(path.read_text().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"Cannot read the labels file '{path}': {error}.", "It holds one class name a line."
        ) from error


def _file_digest(path: Path | None) -> str | None:
    return sha256(path.read_bytes()) if path is not None and path.is_file() else None


def _tools() -> dict[str, str]:
    return {
        "lrn-deploy": __version__,
        **{name: version(name) for name in ("torch", "onnxscript", "onnx-ir")},
    }

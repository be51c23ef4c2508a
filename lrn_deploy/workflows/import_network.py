"""Import a network that was trained elsewhere into a new bundle: files of Caffe's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.bundle import (
    MANIFEST,
    Artifact,
    Bundle,
    FileRecord,
    LayerTensor,
    LrnLayer,
    LrnLike,
    Manifest,
    ModelSource,
    Preprocessing,
    Said,
    TensorSpec,
    Weights,
    check_target,
    dump,
    new_bundle,
    sha256,
    write_atomic,
)
from lrn_deploy.bundle.said import NAMES, complete
from lrn_deploy.bundle.store import writing
from lrn_deploy.caffe import CaffeNetwork, read, to_ir
from lrn_deploy.caffe.axes import Shape
from lrn_deploy.caffe.graph.ops import BATCH
from lrn_deploy.caffe.graph.to_onnx import OPSET
from lrn_deploy.caffe.parameters import Identity, Lrn
from lrn_deploy.errors import BadInputError
from lrn_deploy.export.bundle import MODEL_FILE, bundle_name
from lrn_deploy.export.graph import MODEL_LIMIT, check_graph, take_large_weights
from lrn_deploy.export.labels import check_count, read_labels_file
from lrn_deploy.export.serialize import parts
from lrn_deploy.passes.lrn.legalize_lrn import Legalized, choose_form, write_out_lrn

USUAL_MEAN = (104.0, 117.0, 123.0)
"""ImageNet's mean in blue, green and red, in pixels: what is assumed where nothing tells."""


@dataclass(frozen=True)
class ImportRequest:
    """What to import.

    Attributes:
        prototxt: The network's layers in text.
        caffemodel: Its weights.
        mean: The mean of its training images, a ``.binaryproto`` or ``.npy``.
        input_shape: Shape of one input without the batch, if the text does not say it.
        labels: File of class names, as ``read_labels_file`` takes it.
        name: What the bundle is called, and served as; None: as its folder.
        preprocessing: What the user says of it, which goes before what the files say.
    """

    prototxt: Path
    caffemodel: Path
    mean: Path | None = None
    input_shape: Shape | None = None
    labels: Path | None = None
    name: str | None = None
    preprocessing: Said = field(default_factory=Said)


@dataclass(frozen=True)
class Imported:
    """A bundle that was made of files.

    Attributes:
        bundle: The bundle.
        lrn: For each LRN its parameters and where each was read, a sentence each.
        told: What was cut, chosen or is not known, a sentence each.
    """

    bundle: Bundle
    lrn: tuple[str, ...]
    told: tuple[str, ...]


def import_network(request: ImportRequest, path: Path, *, force: bool = False) -> Imported:
    """Import a network into a new bundle at ``path``.

    Args:
        request: What to import.
        path: Folder of the bundle to be.
        force: Replace a bundle that is there.

    Raises:
        BadInputError: If the files cannot be read or are of no network that can be imported, or
            ``path`` is taken.
        CannotWriteError: If the bundle cannot be written; nothing is left behind.
    """
    check_target(path, force=force)
    name = bundle_name(request.name, path)
    labels = read_labels_file(request.labels) if request.labels else None
    network = read(
        request.prototxt, request.caffemodel, request.mean, input_shape=request.input_shape
    )
    preprocessing = _preprocessing(network, request.preprocessing)
    source = _source(network, request, name)
    model = _graph(network, source)
    forms = _legalized(model, network)
    weights = take_large_weights(model.graph)
    if sum(tensor.nbytes for tensor in weights.values()) > MODEL_LIMIT:
        raise BadInputError("The network is larger than 2 GiB, more than one ONNX file can hold.")
    skeleton = ir.to_proto(model)
    check_graph(skeleton, weights)
    outputs = tuple(_tensor(value, shape) for value, shape in network.outputs.items())
    if labels:
        check_count(labels, outputs[0])
    with new_bundle(path, force=force) as folder:
        digest, size = hashlib.sha256(), 0
        file = folder / MODEL_FILE
        with writing(file), file.open("wb") as stream:
            for part in parts(skeleton, weights):  # in parts: the weights are not copied
                stream.write(part)
                digest.update(part)
                size += len(part)
        label_record = None
        if labels:
            text = ("\n".join(labels) + "\n").encode()
            write_atomic(folder / "labels.txt", text)
            label_record = FileRecord(file="labels.txt", sha256=sha256(text), size=len(text))
        artifact = Artifact(
            file=MODEL_FILE,
            sha256=digest.hexdigest(),
            size=size,
            format="onnx",
            built_by={"command": "import", "lrn-deploy": __version__},
            options={"opset": OPSET},
        )
        manifest = Manifest(
            model=source,
            inputs=tuple(_tensor(item.name, item.shape) for item in network.inputs),
            outputs=outputs,
            preprocessing=preprocessing,
            labels=label_record,
            lrn_layers=_lrn_layers(network, forms),
            lrn_like=_lrn_like(network),
            layers=_layers(network),
            artifacts={"model": artifact},
        )
        write_atomic(folder / MANIFEST, dump(manifest))
    lrn = tuple(_sentence(layer.name, own) for layer, own in network.lrns)
    return Imported(Bundle.open(path), lrn, network.told)


def _source(network: CaffeNetwork, request: ImportRequest, name: str) -> ModelSource:
    weights = request.caffemodel.resolve()
    count = sum(blob.size for layer in network.layers for blob in layer.blobs)
    return ModelSource(
        name=name or network.name or request.prototxt.stem,
        factory=str(request.prototxt.resolve()),
        origin="caffe",
        sha256=_file_digest(request.prototxt),
        input_shape=network.inputs[0].shape,
        weights=Weights(
            kind="file",
            file=str(weights),
            sha256=_file_digest(request.caffemodel),
            note=f"{count:,} parameters from {weights.name}",
        ),
    )


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _graph(network: CaffeNetwork, source: ModelSource) -> ir.Model:
    model = to_ir(network)
    model.producer_version = __version__
    model.metadata_props.update(
        {
            "model": network.name,
            "factory": source.factory,
            "weights": source.weights.note,
            "weights_sha256": source.weights.sha256 or "",
            "lrn_deploy": __version__,
        }
    )
    return model


def _legalized(model: ir.Model, network: CaffeNetwork) -> list[Legalized]:
    """Write out the LRN nodes that runtimes would compute badly; what became of each."""
    specs = [own.spec for _, own in network.lrns if own.spec is not None]
    done = write_out_lrn(model, lambda spec, rank: choose_form(spec, rank)[1])
    # A node's attributes are fp32; the manifest keeps the numbers that the file gives.
    return [replace(item, spec=spec) for item, spec in zip(done, specs, strict=True)]


def _lrn_layers(network: CaffeNetwork, forms: list[Legalized]) -> tuple[LrnLayer, ...]:
    across = [(layer, own.spec) for layer, own in network.lrns if own.spec is not None]
    return tuple(
        LrnLayer(
            name=layer.name,
            spec=spec,
            origin="prototxt",
            proven_from=layer.place.short,
            form=item.form,
            reason=item.reason,
            input=str(item.input.name),
            output=str(item.output.name),
            shape=(BATCH, *layer.input_shapes[0]),
        )
        for (layer, spec), item in zip(across, forms, strict=True)
    )


def _lrn_like(network: CaffeNetwork) -> tuple[LrnLike, ...]:
    return tuple(
        LrnLike(
            name=layer.name,
            reason=f"its window is a square of {own.size} x {own.size} pixels in one channel",
        )
        for layer, own in network.lrns
        if own.spec is None
    )


def _layers(network: CaffeNetwork) -> tuple[LayerTensor, ...]:
    """The first output of each layer that computes something, if no other has its name."""
    names = [layer.name for layer in network.layers]
    return tuple(
        LayerTensor(module=layer.name, tensor=layer.outputs[0])
        for layer in network.layers
        if names.count(layer.name) == 1 and not isinstance(layer.parameters, Identity)
    )


def _tensor(name: str, shape: Shape) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=(BATCH, *shape))


def _preprocessing(network: CaffeNetwork, said: Said) -> Preprocessing | None:
    """What the user says, then what the files say, then the mean that most such networks have."""
    shape = network.inputs[0].shape
    transform = network.transform
    if transform is None:
        return complete(said, shape)
    known = Said.of(transform.said, "the network's files")
    if transform.mean is not None or said.mean is not None:
        given = replace(known, scale=transform.scale) if known.scale is None else known
        ones = replace(given, std=given.std or (1.0,) * shape[0])
        return complete(said.over(ones), shape)
    mean = USUAL_MEAN if shape[0] == 3 else (sum(USUAL_MEAN) / 3,)
    usual = replace(
        known,
        scale=transform.scale,
        mean=tuple(value * transform.scale for value in mean),
        std=(1.0,) * shape[0],
    )
    recipe = complete(said.over(usual), shape)
    if recipe is None:
        return None
    assumed = tuple(name for name in NAMES if name in (*recipe.assumed, "mean"))
    return recipe.model_copy(update={"assumed": assumed})


def _sentence(name: str, own: Lrn) -> str:
    """One LRN with its parameters and where each is from."""
    where = own.origins
    region = own.region.lower().replace("_", " ")
    over = f"{own.size}" if own.region == "ACROSS_CHANNELS" else f"{own.size} x {own.size}"
    return (
        f"{name}: {region} ({where['region']}), size {own.size} ({where['size']}), "
        f"alpha {own.alpha:g} ({where['alpha']}), divided by {over}, "
        f"beta {own.beta:g} ({where['beta']}), k {own.k:g} ({where['k']})"
    )

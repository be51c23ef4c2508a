"""A network of Caffe's: its two files made a graph, and what the manifest says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from lrn_deploy import __version__
from lrn_deploy.bundle import (
    LayerTensor,
    LrnLayer,
    LrnLike,
    ModelSource,
    Preprocessing,
    Said,
    TensorSpec,
    Weights,
)
from lrn_deploy.bundle.said import complete
from lrn_deploy.caffe import CaffeNetwork, read, to_ir
from lrn_deploy.caffe.axes import Shape
from lrn_deploy.caffe.graph.ops import BATCH
from lrn_deploy.caffe.parameters import Identity, Lrn
from lrn_deploy.passes.lrn.legalize_lrn import Legalized, choose_form, write_out_lrn
from lrn_deploy.said import NAMES
from lrn_deploy.workflows.import_network.made import MadeNetwork
from lrn_deploy.workflows.import_network.options import ImportOptions, file_digest

USUAL_MEAN = (104.0, 117.0, 123.0)
"""ImageNet's mean in blue, green and red, in pixels: what is assumed where nothing tells."""


def made_of_caffe(
    prototxt: Path, caffemodel: Path, options: ImportOptions, name: str
) -> MadeNetwork:
    """Read a network of Caffe's.

    Args:
        prototxt: Its layers in text.
        caffemodel: Its weights.
        options: What else is said of it.
        name: What the bundle is called; empty: as the network.

    Raises:
        BadInputError: If the files cannot be read or are of no network that can be imported.
    """
    network = read(
        prototxt,
        caffemodel,
        options.mean,
        input_shape=options.input_shape,
        stages=options.stages,
    )
    preprocessing = _preprocessing(network, options.preprocessing)
    source = _source(network, prototxt, caffemodel, name).model_copy(
        update={"stages": options.stages}
    )
    model = _graph(network, source)
    forms = _legalized(model, network)
    return MadeNetwork(
        model=model,
        source=source,
        inputs=tuple(_tensor(entry.name, entry.shape) for entry in network.inputs),
        outputs=tuple(_tensor(value, shape) for value, shape in network.outputs.items()),
        preprocessing=preprocessing,
        lrn_layers=_lrn_layers(network, forms),
        lrn_like=_lrn_like(network),
        layers=_layers(network),
        lrn=tuple(_sentence(layer.name, own) for layer, own in network.lrns),
        told=network.told,
    )


def _source(network: CaffeNetwork, prototxt: Path, caffemodel: Path, name: str) -> ModelSource:
    weights = caffemodel.resolve()
    count = sum(blob.size for layer in network.layers for blob in layer.blobs)
    return ModelSource(
        name=name or network.name or prototxt.stem,
        factory=str(prototxt.resolve()),
        origin="caffe",
        sha256=file_digest(prototxt),
        input_shape=network.inputs[0].shape,
        weights=Weights(
            kind="file",
            file=str(weights),
            sha256=file_digest(caffemodel),
            note=f"{count:,} parameters from {weights.name}",
        ),
    )


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
    return [replace(form, spec=spec) for form, spec in zip(done, specs, strict=True)]


def _lrn_layers(network: CaffeNetwork, forms: list[Legalized]) -> tuple[LrnLayer, ...]:
    across = [(layer, own.spec) for layer, own in network.lrns if own.spec is not None]
    return tuple(
        LrnLayer(
            name=layer.name,
            spec=spec,
            origin="prototxt",
            proven_from=layer.place.short,
            form=form.form,
            reason=form.reason,
            input=str(form.input.name),
            output=str(form.output.name),
            shape=(BATCH, *layer.input_shapes[0]),
        )
        for (layer, spec), form in zip(across, forms, strict=True)
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
    preprocessing = complete(said.over(usual), shape)
    if preprocessing is None:
        return None
    assumed = tuple(name for name in NAMES if name in (*preprocessing.assumed, "mean"))
    return preprocessing.model_copy(update={"assumed": assumed})


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

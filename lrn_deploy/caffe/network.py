"""A prototxt and a caffemodel become one network: layers in order, with weights and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lrn_deploy.caffe.axes import MisfitError, Shape
from lrn_deploy.caffe.files.blobs import Array
from lrn_deploy.caffe.files.phases import in_use
from lrn_deploy.caffe.files.place import Place, printable
from lrn_deploy.caffe.files.record import Record, from_text
from lrn_deploy.caffe.files.text import MAX_CHARACTERS, parse
from lrn_deploy.caffe.files.training import auxiliary, cut_training
from lrn_deploy.caffe.files.upgrade import upgrade
from lrn_deploy.caffe.inputs import Input, find_inputs
from lrn_deploy.caffe.parameters import Lrn, Parameters
from lrn_deploy.caffe.preprocessing import Transform, find_transform, read_mean
from lrn_deploy.caffe.reading import read_parameters
from lrn_deploy.caffe.shapes import blob_shapes, output_shapes
from lrn_deploy.caffe.weights import Weights, read_weights
from lrn_deploy.errors import BadInputError

MAX_LAYERS = 10_000
"""Most layers of a network; a ResNet-1001 has 3,000."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: Its name in the prototxt.
        type: Caffe's name of its type.
        parameters: What it computes.
        inputs: The values that enter it. A blob that is written in place is one value before and
            another after.
        outputs: The values that it makes.
        input_shapes: Shapes without the batch.
        output_shapes: Likewise.
        blobs: Its weights, fp32, read only, in the shapes that its parameters ask for.
        place: Where it stands in the prototxt.
    """

    name: str
    type: str
    parameters: Parameters
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    blobs: tuple[Array, ...]
    place: Place


@dataclass(frozen=True)
class CaffeNetwork:
    """A network as Caffe would run it in the phase TEST, without what is for training only.

    Attributes:
        name: Its own name; may be empty.
        inputs: What it takes.
        layers: In the order of computation.
        outputs: The values that it gives, with their shapes without the batch, in Caffe's order.
        transform: How an image becomes its first input, if that is one.
        told: What was cut, chosen or is not known: a sentence each, for people.
    """

    name: str
    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    outputs: Mapping[str, Shape]
    transform: Transform | None
    told: tuple[str, ...]

    @property
    def lrns(self) -> list[tuple[Layer, Lrn]]:
        """The LRN layers and their parameters."""
        found = ((layer, layer.parameters) for layer in self.layers)
        return [(layer, lrn) for layer, lrn in found if isinstance(lrn, Lrn)]


def read(
    prototxt: Path,
    caffemodel: Path,
    mean: Path | None = None,
    *,
    input_shape: Shape | None = None,
    stages: tuple[str, ...] = (),
) -> CaffeNetwork:
    """Read a network that Caffe was trained with.

    Args:
        prototxt: Its layers in text: ``deploy.prototxt``, or ``train_val.prototxt``.
        caffemodel: Its weights. The file is mapped, and must not change while the network is used.
        mean: The mean of its training images, a ``.binaryproto`` or ``.npy``.
        input_shape: Shape of the first input without the batch, where the text does not say it, or
            to take another one.
        stages: Stages of Caffe's NetState that hold, beside the text's own.

    Raises:
        BadInputError: If a file cannot be read, or is not what Caffe would take; with the line.
    """
    net = read_text(prototxt)
    layers = in_use(upgrade(net), net.part("state"), stages)
    left = cut_training(layers)
    weights = read_weights(caffemodel)
    inputs, layers = find_inputs(net, left, weights, input_shape)
    build = _Build(weights, inputs)
    if len(layers) > MAX_LAYERS:
        raise net.place.wrong(f"the network has {len(layers):,} layers, more than {MAX_LAYERS:,}.")
    for layer in layers:
        build.add(layer)
    if not build.layers:
        raise net.place.wrong(
            "the network has no layers to import.", "Is it a prototxt of Caffe's?"
        )
    witnesses = [*left.fed, *_feeding(upgrade(net)), *weights.data_layers]
    kept, outputs = build.finish(left.silenced, left.weights)
    used = {value for layer in kept for value in layer.inputs}
    entering = tuple(entry for entry in inputs if entry.name in used)
    if not entering:
        raise net.place.wrong("no output of the network depends on its input.")
    transform, told = find_transform(
        entering[0].shape, witnesses, read_mean(mean) if mean is not None else None
    )
    unused = [f"Input '{entry.name}' is not used." for entry in inputs if entry.name not in used]
    return CaffeNetwork(
        name=net.get("name") or "",
        inputs=entering,
        layers=kept,
        outputs=outputs,
        transform=transform,
        told=tuple(map(printable, (*left.told, *build.told, *unused, *told))),
    )


def read_text(path: Path) -> Record:
    """The ``NetParameter`` of a prototxt.

    Raises:
        BadInputError: If it cannot be read or is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(4 * MAX_CHARACTERS + 1)
    except OSError as error:
        raise BadInputError(
            f"Cannot read '{path}': {error.strerror}.", "Check the path."
        ) from error
    if b"\0" in data[:4096]:
        raise Place(str(path)).wrong(
            "this is a binary file, no prototxt.",
            "Give the prototxt first and the caffemodel second.",
        )
    text = data.decode("utf-8", "replace")  # comments are in anything
    return from_text(parse(text, str(path)), "NetParameter")


def _feeding(layers: list[Record]) -> list[Record]:
    """Layers of any phase that say how images are transformed."""
    return [layer for layer in layers if layer.has("transform_param")]


@dataclass
class _Build:
    """A network that grows layer by layer."""

    weights: Weights
    entering: list[Input]
    layers: list[Layer] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.current = {entry.name: entry.name for entry in self.entering}
        self.shapes: dict[str, Shape] = {entry.name: entry.shape for entry in self.entering}
        self.batch = self.entering[0].batch
        self.records: list[Record] = []
        self.first: dict[str, int] = {}

    def add(self, record: Record) -> None:
        """Append one layer."""
        name, kind = record.get("name") or "", record.get("type") or ""
        parameters = read_parameters(record)
        bottoms, tops = record.all("bottom"), record.all("top")
        for bottom in bottoms:
            if bottom not in self.current:
                raise record.wrong(
                    "bottom", f"'{name}' reads '{bottom}', which no layer before it makes."
                )
        inputs = tuple(self.current[bottom] for bottom in bottoms)
        shapes = tuple(self.shapes[value] for value in inputs)
        try:
            made = output_shapes(parameters, shapes, len(tops), self.batch)
        except MisfitError as error:
            raise record.place.wrong(f"{kind} '{name}': {error}") from None
        outputs = []
        for place, top in enumerate(tops):
            in_place = place < len(bottoms) and bottoms[place] == top
            if top in self.current and not in_place:
                raise record.wrong("top", f"'{top}' is made a second time, and not in place.")
            outputs.append(self._new(top, name))
        for top, value, shape in zip(tops, outputs, made, strict=True):
            self.current[top], self.shapes[value] = value, shape
        self.layers.append(
            Layer(
                name, kind, parameters, inputs, tuple(outputs), shapes, tuple(made), (),
                record.place,
            )
        )  # fmt: skip
        self.first.setdefault(name, len(self.records))
        self.records.append(record)

    def _new(self, top: str, layer: str) -> str:
        """A name for a value that no other value has; the blob's own if that is free."""
        name = top if top not in self.shapes else f"{top}_{layer}"
        count = 1
        while name in self.shapes:
            count += 1
            name = f"{top}_{layer}_{count}"
        self.shapes[name] = ()
        return name

    def finish(
        self, silenced: set[str], weights: dict[str, float]
    ) -> tuple[tuple[Layer, ...], dict[str, Shape]]:
        """The layers that lead to an output, and the outputs."""
        unread = {value for layer in self.layers for value in layer.outputs}
        unread -= {value for layer in self.layers for value in layer.inputs}
        ends = [blob for blob, value in self.current.items() if value in unread]
        ends = [blob for blob in ends if blob not in silenced]
        helpers = auxiliary(ends, weights)
        if helpers:
            named = ", ".join(f"'{blob}'" for blob in helpers)
            self.told.append(f"Auxiliary outputs that helped training only are cut: {named}.")
        outputs = [self.current[blob] for blob in ends if blob not in helpers]
        needed, kept = set(outputs), []
        for place in reversed(range(len(self.layers))):
            if needed.intersection(self.layers[place].outputs):
                needed.update(self.layers[place].inputs)
                kept.append(self._filled(place))
        if len(outputs) > 1:
            self.told.append(f"The network has {len(outputs)} outputs: {', '.join(outputs)}.")
        names = self._renamed(outputs)
        layers = tuple(_rename(layer, names) for layer in reversed(kept))
        return layers, {names.get(value, value): self.shapes[value] for value in outputs}

    def _filled(self, place: int) -> Layer:
        """A layer with its weights."""
        layer = self.layers[place]
        shapes = blob_shapes(layer.parameters, layer.input_shapes)
        if not shapes:
            return layer
        name = layer.name if self.first[layer.name] == place else ""
        return replace(layer, blobs=self.weights.take(name, shapes, self.records[place]))

    def _renamed(self, outputs: list[str]) -> dict[str, str]:
        """New names where an output was written in place: it gets the blob's own, as in Caffe."""
        blobs = {value: blob for blob, value in self.current.items()}
        makers = {value: layer.name for layer in self.layers for value in layer.outputs}
        names: dict[str, str] = {}
        for value in outputs:
            blob = blobs[value]
            if value != blob and blob in makers:  # not where an input is written in place
                names |= {blob: self._new(blob, makers[blob]), value: blob}
        return names


def _rename(layer: Layer, names: dict[str, str]) -> Layer:
    return replace(
        layer,
        inputs=tuple(names.get(value, value) for value in layer.inputs),
        outputs=tuple(names.get(value, value) for value in layer.outputs),
    )

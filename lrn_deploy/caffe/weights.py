"""The weights in a caffemodel, by the names of the layers they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lrn_deploy.caffe.axes import Shape, words
from lrn_deploy.caffe.files.blobs import Array, Blob, map_file, read_blob
from lrn_deploy.caffe.files.record import Record
from lrn_deploy.caffe.files.upgrade import upgrade
from lrn_deploy.caffe.files.wire import Wire
from lrn_deploy.errors import BadInputError

_OTHER_NETWORK = "Are prototxt and caffemodel of the same network?"


@dataclass
class Weights:
    """A caffemodel.

    Attributes:
        wire: The file.
        spans: For each layer that has weights, where each of its blobs lies.
        data_layers: Its layers that say how images were transformed.
    """

    wire: Wire
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    data_layers: list[Record] = field(default_factory=list)

    def shape_of(self, layer: str) -> Shape:
        """The shape of a layer's first blob; () if it has none."""
        spans = self.spans.get(layer)
        return self._blob(layer, 0, spans[0]).shape if spans else ()

    def take(self, layer: str, shapes: Sequence[Shape], record: Record) -> tuple[Array, ...]:
        """The weights of a layer, as arrays of ``shapes``, fp32 and read only.

        Args:
            layer: Its name; empty for a second layer of a name, since Caffe gives all weights of
                one name to the first.
            shapes: What it takes.
            record: The layer in the text, for errors.

        Raises:
            BadInputError: If they are not there or have other shapes.
        """
        name, kind = record.get("name") or "", record.get("type")
        spans = self.spans.get(layer, [])
        if not spans:
            raise record.place.wrong(
                f"{kind} '{name}' has no weights in '{self.wire.place}'.", self._hint(layer, name)
            )
        if len(spans) != len(shapes):
            raise record.place.wrong(
                f"{kind} '{name}' takes {len(shapes)} blobs of weights and the caffemodel has "
                f"{len(spans)}.",
                "Is its 'bias_term' the one it was trained with?",
            )
        blobs = [self._blob(name, place, span) for place, span in enumerate(spans)]
        for place, (blob, shape) in enumerate(zip(blobs, shapes, strict=True)):
            if not blob.fits(shape):
                raise record.place.wrong(
                    f"{kind} '{name}' needs blob {place} of {words(shape)} and the caffemodel has "
                    f"{words(blob.shape)}.",
                    _OTHER_NETWORK,
                )
        return tuple(
            _single(blob.data).reshape(shape) for blob, shape in zip(blobs, shapes, strict=True)
        )

    def _blob(self, layer: str, place: int, span: tuple[int, int]) -> Blob:
        return read_blob(self.wire, *span, f"blob {place} of '{layer}'")

    def _hint(self, layer: str, name: str) -> str:
        if name in self.spans and not layer:
            return "It is the second layer of this name, and Caffe gives the weights to the first."
        has = ", ".join(f"'{known}'" for known in list(self.spans)[:6]) or "no weights at all"
        return f"{_OTHER_NETWORK} The caffemodel has {has}{', …' * (len(self.spans) > 6)}."


def read_weights(path: Path) -> Weights:
    """The weights in a caffemodel of any generation; no value is read yet.

    Raises:
        BadInputError: If it is none.
    """
    wire = map_file(path)
    net = wire.record("NetParameter", 0, len(wire.data))
    layers = net.all("layer") + _old(net)
    if not layers:
        raise wire.place.wrong(
            "there are no layers in it.", "Is it a caffemodel? A solverstate has no weights."
        )
    weights = Weights(wire)
    for layer in layers:
        if layer.has("blobs"):
            weights.spans[layer.get("name") or ""] = layer.all("blobs")  # as in Caffe, the last
        if layer.has("transform_param"):
            weights.data_layers.append(layer)
    return weights


def _old(net: Record) -> list[Record]:
    """Layers of the generations V0 and V1; of one that cannot be upgraded only name and blobs."""
    found = []
    for value in net.values.get("layers", ()):
        try:
            found += upgrade(Record("NetParameter", net.place, {"layers": [value]}))
        except BadInputError:
            inner = value.content.part("layer")
            values = {name: inner.values[name] for name in ("name", "blobs") if inner.has(name)}
            found.append(Record("LayerParameter", net.place, values))
    return found


def _single(data: Array) -> Array:
    """As fp32, which Caffe computes in; a copy only if the file has another type."""
    return data if data.dtype == np.dtype("<f4") else data.astype(np.float32)

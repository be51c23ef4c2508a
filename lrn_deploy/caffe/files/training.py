"""What of a network is for training only, cut off: data layers, labels, losses, auxiliary heads."""

from __future__ import annotations

from dataclasses import dataclass, field

from lrn_deploy.caffe.files.record import Record

DATA = frozenset(
    ("Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "WindowData", "AnnotatedData")
)
LOSSES = frozenset(
    (
        "SoftmaxWithLoss", "EuclideanLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss",
        "SigmoidCrossEntropyLoss", "ContrastiveLoss",
    )
)  # fmt: skip
SINKS = LOSSES | {"Accuracy", "HDF5Output", "Silence"}
"""Layers whose tops nobody needs in deployment."""


@dataclass
class Deployed:
    """A network without its training.

    Attributes:
        layers: What is left.
        fed: The data layers that were cut.
        silenced: Blobs that are read and wanted by nobody.
        weights: For each blob that a loss read, the largest weight of such a loss.
        told: What was cut, a sentence each.
    """

    layers: list[Record] = field(default_factory=list)
    fed: list[Record] = field(default_factory=list)
    silenced: set[str] = field(default_factory=set)
    weights: dict[str, float] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def cut_training(layers: list[Record]) -> Deployed:
    """Cut data layers, labels and what needs them, losses and the like.

    The first blob of a data layer stays as an input of the network; its others are labels.

    Raises:
        BadInputError: If a layer that stays needs a label or what a cut layer makes.
    """
    left = Deployed()
    gone: dict[str, str] = {}
    for layer in layers:
        kind, name = layer.get("type"), layer.get("name") or ""
        bottoms, tops = layer.all("bottom"), layer.all("top")
        if kind in DATA:
            left.fed.append(layer)
            gone |= dict.fromkeys(tops[1:], f"a label of the data layer '{name}'")
            made = f"; '{tops[0]}' becomes an input" if tops else ""
            left.told.append(f"{layer.place.short}: data layer '{name}' is cut{made}.")
        elif kind in SINKS:
            _end(left, kind, layer)
            gone |= dict.fromkeys(tops, f"made by '{name}', which is cut")
            left.told.append(f"{layer.place.short}: {kind} '{name}' is cut.")
        elif bottoms and all(bottom in gone for bottom in bottoms):
            gone |= dict.fromkeys(tops, f"made by '{name}', which is cut")
            left.told.append(f"{layer.place.short}: '{name}' is cut: it needs labels only.")
        else:
            for bottom in bottoms:
                if bottom in gone:
                    raise layer.wrong(
                        "bottom",
                        f"'{name}' needs '{bottom}', {gone[bottom]}.",
                        "Give the deploy.prototxt, which has no labels and losses.",
                    )
            left.layers.append(layer)
    return left


def _end(left: Deployed, kind: str, layer: Record) -> None:
    bottoms = layer.all("bottom")
    if kind == "Silence":
        left.silenced.update(bottoms)
    if kind in LOSSES and bottoms:
        given = layer.all("loss_weight")
        weight = float(given[0]) if given else 1.0
        left.weights[bottoms[0]] = max(weight, left.weights.get(bottoms[0], weight))


def auxiliary(outputs: list[str], weights: dict[str, float]) -> list[str]:
    """The outputs that only helped training: their loss weighs less than another output's."""
    most = max((weights[name] for name in outputs if name in weights), default=0.0)
    return [name for name in outputs if weights.get(name, most) < most]

"""What a network takes: ``input`` fields, Input layers, or what its data layers would have fed."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.caffe.axes import MAX_AXES, MAX_VALUES, Shape
from lrn_deploy.caffe.files.record import Record
from lrn_deploy.caffe.files.training import Deployed
from lrn_deploy.caffe.parameters import Convolution
from lrn_deploy.caffe.reading import READERS
from lrn_deploy.caffe.weights import Weights


@dataclass(frozen=True)
class Input:
    """An input of a network.

    Attributes:
        name: Its blob's name.
        shape: Its shape without the batch.
        batch: The batch that the prototxt was written for.
    """

    name: str
    shape: Shape
    batch: int


def find_inputs(
    net: Record, left: Deployed, weights: Weights, given: Shape | None
) -> tuple[list[Input], list[Record]]:
    """The inputs of a network, and its layers without Input layers.

    Args:
        net: The ``NetParameter``.
        left: Its layers without those for training.
        weights: Its weights: how many channels a data layer feeds only they tell.
        given: Shape of the first input, if the user says it.

    Raises:
        BadInputError: If there is none, or its shape is not said or impossible.
    """
    shapes = _fields(net)
    layers = []
    for layer in left.layers:
        if layer.get("type") == "Input":
            shapes += _input_layer(layer)
        else:
            layers.append(layer)
    for layer in left.fed:
        if layer.all("top"):
            shapes += _fed(layer, layers, weights, given)
    if not shapes:
        raise net.place.wrong(
            "the network has no input.", "Give it an Input layer, or 'input' and 'input_shape'."
        )
    if given is not None:
        place, name, dims = shapes[0]
        shapes[0] = place, name, (dims[0] if dims else 1, *given)
    names = set()
    for place, name, dims in shapes:
        if name in names:
            raise place.place.wrong(f"the input '{name}' is there twice.")
        names.add(name)
        if not dims:
            raise place.place.wrong(
                f"the shape of the input '{name}' is not said.", "Give it with --shape 3,227,227."
            )
        count = 1
        for dim in dims[1:]:
            count *= dim
        if min(dims) < 1 or len(dims) > MAX_AXES or count > MAX_VALUES:
            raise place.place.wrong(f"the input '{name}' has the impossible shape {list(dims)}.")
    return [Input(name, tuple(dims[1:]), dims[0]) for _, name, dims in shapes], layers


_Found = tuple[Record, str, Shape]


def _fields(net: Record) -> list[_Found]:
    """``input`` with ``input_dim``, four for each, or ``input_shape``."""
    names, dims, shapes = net.all("input"), net.all("input_dim"), net.all("input_shape")
    if dims and shapes:
        raise net.wrong("input_shape", "'input_dim' and 'input_shape' are given both.")
    if dims:
        if len(dims) != 4 * len(names):
            raise net.wrong(
                "input_dim", f"{len(names)} inputs need {4 * len(names)} dims, not {len(dims)}."
            )
        found = [tuple(dims[4 * place : 4 * place + 4]) for place in range(len(names))]
    else:
        found = [tuple(shape.all("dim")) for shape in shapes]
    if names and not found:
        found = [()] * len(names)
    if len(found) != len(names):
        raise net.wrong("input_shape", f"{len(names)} inputs have {len(found)} shapes.")
    return [
        (Record("BlobShape", value.place), value.content, dims)
        for value, dims in zip(net.values.get("input", ()), found, strict=True)
    ]


def _input_layer(layer: Record) -> list[_Found]:
    tops = layer.all("top")
    shapes = [tuple(shape.all("dim")) for shape in layer.part("input_param").all("shape")]
    if len(shapes) == 1:
        shapes *= len(tops)
    if shapes and len(shapes) != len(tops):
        raise layer.wrong("input_param", f"{len(tops)} tops have {len(shapes)} shapes.")
    return [(layer, top, dims) for top, dims in zip(tops, shapes or [()] * len(tops), strict=True)]


def _fed(
    layer: Record, layers: list[Record], weights: Weights, given: Shape | None
) -> list[_Found]:
    """What a data layer would have fed; its size is that of the crop, if it says one."""
    top = layer.all("top")[0]
    memory = layer.part("memory_data_param")
    if all(memory.has(name) for name in ("channels", "height", "width")):
        dims = tuple(memory.get(name) for name in ("channels", "height", "width"))
        return [(layer, top, (1, *dims))]
    dummy = layer.part("dummy_data_param")
    if dummy.has("shape"):
        return [(layer, top, tuple(dummy.all("shape")[0].all("dim")))]
    if given is not None:
        return [(layer, top, (1, *given))]
    size = layer.part("transform_param").get("crop_size")
    channels = _channels(top, layers, weights)
    if not size or not channels:
        raise layer.place.wrong(
            f"the shape that the data layer '{layer.get('name') or ''}' feeds is not said.",
            "Give it with --shape 3,227,227, or take the deploy.prototxt.",
        )
    return [(layer, top, (1, channels, size, size))]


def _channels(top: str, layers: list[Record], weights: Weights) -> int:
    """How many channels the first convolution that reads ``top`` takes; 0 if there is none."""
    for layer in layers:
        if top in layer.all("bottom") and layer.get("type") == "Convolution":
            parameters = READERS["Convolution"](layer)
            shape = weights.shape_of(layer.get("name") or "")
            if isinstance(parameters, Convolution) and len(shape) == 4:
                return shape[1] * parameters.group
    return 0

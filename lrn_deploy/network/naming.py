"""Weights under the names and in the order of axes that others have, as the zoo's tables say.

A state dict has ``conv1.weight`` with axes (out, in, height, width). NumPy dictionaries of the time
when AlexNet was passed around, ``bvlc_alexnet.npy`` above all, are ``{layer: [weights, biases]}``,
and TensorFlow's order is (height, width, in, out); in an archive such a list is ``conv1/0`` and
``conv1/1``. The first fully connected layer then reads (height, width, channel) where PyTorch
flattens (channel, height, width).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from lrn_deploy.models.names import FOREIGN, Names

Tensors = dict[str, torch.Tensor]

_PARTS = {
    **dict.fromkeys(("weight", "weights", "W", "0"), "weight"),
    **dict.fromkeys(("bias", "biases", "b", "1"), "bias"),
}
"""What a layer's numbers are called; all else, a running mean for instance, as PyTorch does."""
_ORDERS = ("", "HWIO")
"""Orders of a convolution's axes: PyTorch's and Caffe's own, and TensorFlow's."""


def renamed(
    tensors: Tensors, own: Mapping[str, torch.Tensor], network: str
) -> Iterator[tuple[str, Tensors]]:
    """Ways to read a mapping by the tables of a network, and how each is told to people.

    The order of axes is one for all layers, so that the convolutions settle what a square matrix
    leaves open.

    Args:
        tensors: What a file holds, by its names.
        own: The network's own state dict.
        network: Its name in the zoo; none but those have tables.

    Yields:
        Whose names they are, and the tensors by the network's keys; what no table names keeps its
        name, and what cannot be of the shape that is asked for keeps its shape.
    """
    foreign = FOREIGN.get(network)
    if foreign is None:
        return
    layers: dict[str, Tensors] = {}
    for key, value in tensors.items():
        layer, part = _split(key)
        if part in layers.setdefault(layer, {}):
            return  # twice, as ``conv1/0`` and ``conv1/weights``: nobody can tell which is meant
        layers[layer][part] = value
    for names in foreign.tables:
        wanted = {name for parts in names.layers.values() for name in parts}
        if not wanted & layers.keys():
            continue
        rest = {key: value for key, value in tensors.items() if _split(key)[0] not in wanted}
        for order in _ORDERS:
            state = dict(rest)
            for layer, parts in names.layers.items():
                there = [layers[name] for name in parts if name in layers]
                if len(there) == len(parts):
                    plane = foreign.planes.get(layer)
                    state |= _joined(layer, there, own, order, plane)
            yield _told(names, order), state


def _split(key: str) -> tuple[str, str]:
    """A layer's name and the part of it that a key names."""
    end = max(key.rfind("."), key.rfind("/"))
    part = key[end + 1 :]
    return key[: max(end, 0)], _PARTS.get(part, part)


def _joined(
    layer: str,
    parts: Sequence[Tensors],
    own: Mapping[str, torch.Tensor],
    order: str,
    plane: tuple[int, int, int] | None,
) -> Tensors:
    """The numbers of one layer, whose parts follow one another along its outputs."""
    joined: Tensors = {}
    for part in dict.fromkeys(part for held in parts for part in held):
        key = f"{layer}.{part}"
        values = [held[part] for held in parts if part in held]
        like = own.get(key)
        if like is not None:
            values = [_turned(value, like.dim(), order, plane) for value in values]
        alike = len({(value.shape[1:], value.dtype) for value in values}) == 1
        several = len(values) > 1 and values[0].dim() > 0
        joined[key] = torch.cat(values) if several and alike else values[0]
    return joined


def _turned(
    value: torch.Tensor, rank: int, order: str, plane: tuple[int, int, int] | None
) -> torch.Tensor:
    """The value with PyTorch's order of axes, if it has the rank for it."""
    if rank < value.dim() == 4 and value.shape[: 4 - rank] == (1,) * (4 - rank):
        value = value.reshape(value.shape[4 - rank :])  # a blob of Caffe's from before it had ranks
    if not order or value.dim() != rank:
        return value
    if rank == 4:
        return value.permute(3, 2, 0, 1)
    if rank != 2:
        return value
    value = value.t()
    if plane is not None and value.shape[1] == plane[0] * plane[1] * plane[2]:
        channels, height, width = plane
        value = value.reshape(len(value), height, width, channels)
        value = value.permute(0, 3, 1, 2).flatten(1)
    return value


def _told(names: Names, order: str) -> str:
    return f"{names.whose} names" + (f", {order}" if order else "")

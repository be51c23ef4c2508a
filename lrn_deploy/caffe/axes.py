"""Shapes without the batch: their axes, and the error that something does not fit one."""

from __future__ import annotations

from lrn_deploy.caffe.parameters import Sizes

Shape = tuple[int, ...]

MAX_AXES = 32
MAX_VALUES = 2**31 - 1
"""Most values of one image in one blob: Caffe counts in C's int."""


class MisfitError(Exception):
    """A layer and what enters it do not fit; says why in a sentence."""


def own_axis(axis: int, shape: Shape) -> int:
    """Where ``axis`` is in a shape without the batch.

    Raises:
        MisfitError: If there is no such axis, or it is the batch.
    """
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        raise MisfitError(f"axis {axis} is not one of the {rank} axes.")
    if axis % rank == 0:
        raise MisfitError(f"axis {axis} is the batch, whose images must not be mixed.")
    return axis % rank - 1


def padded(sizes: Sizes, count: int) -> Sizes:
    """One size for each of ``count`` axes, of so many or of one for all."""
    if len(sizes) not in (1, count):
        raise MisfitError(f"{len(sizes)} sizes are given for {count} spatial axes.")
    return sizes * count if len(sizes) == 1 else sizes


def words(shape: Shape) -> str:
    """A shape for people."""
    return " x ".join(map(str, shape)) or "1"

"""LRN activity: whether inputs make LRN do anything that a check could see.

Where ``alpha/n * sum(x^2)`` is far below ``k``, LRN multiplies by ``k ** -beta`` and nothing else:
a wrong alpha, size or window leaves the network's output as it was. So checks measure how active
each layer is, and run on inputs that are scaled until it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lrn_deploy import lrn

PERCENTILE = 90.0
ACTIVE = 1.0
"""A layer is active where its energy reaches its k, at the 90th percentile of its positions."""
NOTICEABLE = 0.01
"""Below this, a wrong alpha or window moves the layer's output by less than about one percent,
and by far less what comes after it."""
FAINT = 0.1
"""A layer that no scale brings above this is worth a warning: checks see faults of it poorly."""
SCALES = tuple(10 ** (step / 2) for step in range(11))
"""Factors of the inputs that are tried, 1 to 1e5."""


@dataclass(frozen=True)
class Scale:
    """The factor of the inputs that suits one layer.

    Attributes:
        layer: The layer's name.
        factor: The smallest factor that makes it active, or the one that comes nearest.
        activity: Its activity there.
    """

    layer: str
    factor: float
    activity: float


def layer_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Names that tell the layers apart: a module that runs twice becomes ``norm #1, norm #2``."""
    seen: Counter[str] = Counter()
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(f"{name} #{seen[name]}" if names.count(name) > 1 else name)
    return tuple(labels)


def layer_activity(x: ArrayLike, spec: lrn.LrnSpec, convention: lrn.Convention = "torch") -> float:
    """The 90th percentile over all positions of ``energy / |k|``; 0 if it is not a number.

    Args:
        x: What enters the layer, of shape (N, C, *).
        spec: The layer's parameters.
        convention: Which channels its size means.
    """
    with np.errstate(all="ignore"):
        value = float(np.percentile(lrn.activity(x, spec, convention), PERCENTILE))
    return value if np.isfinite(value) else 0.0


def searched_enough(measured: Sequence[Sequence[float]]) -> bool:
    """Whether larger factors can bring nothing more.

    Args:
        measured: Activity of each layer, for each factor so far in rising order.

    Returns:
        True once every layer was active, or has fallen to half of what it reached before.
    """
    best = [max(values) for values in zip(*measured, strict=True)]
    return all(
        top >= ACTIVE or last < top / 2 for top, last in zip(best, measured[-1], strict=True)
    )


def choose_scales(
    layers: Sequence[str], measured: Mapping[float, Sequence[float]]
) -> tuple[Scale, ...]:
    """The scale of each layer.

    One factor need not suit them all: LRN's output falls like ``|x| ** (1 - 2 * beta)`` for large
    inputs, so what makes the first layer very active can put the second one to sleep.

    Args:
        layers: Names of the LRN layers.
        measured: For each factor that was tried, the activity of each layer.
    """
    chosen = []
    for index, layer in enumerate(layers):
        seen = {factor: values[index] for factor, values in sorted(measured.items())}
        enough = [factor for factor, value in seen.items() if value >= ACTIVE]
        factor = enough[0] if enough else max(seen, key=lambda factor: seen[factor])
        chosen.append(Scale(layer, factor, seen[factor]))
    return tuple(chosen)


def ordinary_warning(activities: Mapping[str, Mapping[str, float]], ordinary: Sequence[str]) -> str:
    """A sentence about the LRN layers that no ordinary set of inputs makes noticeable, or "".

    Args:
        activities: Activity of each layer on each set.
        ordinary: Names of the sets that count.
    """
    highest = {
        layer: max(activities[name].get(layer, 0.0) for name in ordinary)
        for layer in dict.fromkeys(layer for name in ordinary for layer in activities[name])
    }
    quiet = {layer: value for layer, value in highest.items() if value < NOTICEABLE}
    return (
        f"Ordinary inputs would not have noticed a wrong alpha or window of {_list(quiet)}: "
        "only the LRN's own probe and the active inputs speak for that."
        if quiet
        else ""
    )


def active_warning(scales: Sequence[Scale]) -> str:
    """A sentence about the LRN layers that no scale of the inputs makes act, or ""."""
    faint = {scale.layer: scale.activity for scale in scales if scale.activity < FAINT}
    return (
        f"No scale of the inputs makes LRN act in {_list(faint)}: only its probe speaks for it."
        if faint
        else ""
    )


def _list(layers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} (activity {value:.1e})" for name, value in layers.items())

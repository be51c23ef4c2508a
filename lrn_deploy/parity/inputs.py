"""The inputs that checks run on: photographs, random, extreme, and scaled until LRN acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import Preprocessing, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.collect import collect
from lrn_deploy.images.decode import DecodedImage, decode
from lrn_deploy.images.preprocess import normalize, preprocess
from lrn_deploy.parity.budgets import Regime

Array = NDArray[Any]

ACTIVE_PREFIX = "active"
MAX_IMAGES = 64
"""More pictures of a user's folder than this are not taken: they are stored in the bundle."""

_BLACK, _WHITE = 0, 255


@dataclass(frozen=True)
class InputSet:
    """A set of inputs.

    Attributes:
        name: ``photographs``, ``images``, ``random``, ``extremes`` or ``active-…``.
        feeds: One array for each input of the network, all with the same number of rows.
        detail: What the inputs are, in one sentence.
    """

    name: str
    feeds: dict[str, Array]
    detail: str

    @property
    def rows(self) -> int:
        """Number of inputs."""
        return len(next(iter(self.feeds.values())))


def regime_of(name: str) -> Regime:
    """The regime that a set of this name belongs to."""
    if name.startswith(ACTIVE_PREFIX):
        return "active"
    regimes: dict[str, Regime] = {"extremes": "extreme", "random": "synthetic"}
    return regimes.get(name, "ordinary")


def image_set(
    name: str,
    images: Sequence[DecodedImage],
    spec: TensorSpec,
    preprocessing: Preprocessing,
    detail: str,
) -> InputSet:
    """Pictures as inputs of a network.

    Args:
        name: The set's name.
        images: At least one picture.
        spec: The network's only input.
        preprocessing: How a picture becomes its input.
        detail: What they are.
    """
    rows = np.stack([preprocess(decoded.image, preprocessing) for decoded in images])
    return InputSet(name, {spec.name: rows}, detail)


def with_dark(images: Sequence[DecodedImage]) -> tuple[DecodedImage, ...]:
    """The pictures, and each of them again as if underexposed, at a quarter of its brightness.

    Two pictures alone can be so alike to a network that its outputs hardly differ: GoogLeNet's
    signal on the two photographs is a twentieth of its output, and six times that with these.
    """
    dark = (
        replace(
            image, name=f"{image.name}, dark", image=image.image.point(lambda value: value // 4)
        )
        for image in images
    )
    return (*images, *dark)


def read_folder(folder: Path) -> tuple[DecodedImage, ...]:
    """The first :data:`MAX_IMAGES` pictures of a folder, by name.

    Raises:
        BadInputError: If there is no such folder, it holds no picture, or one cannot be read.
    """
    if not folder.is_dir():
        raise BadInputError(f"'{folder}' is not a folder.", "Give a folder of images.")
    sources = collect([str(folder)])[:MAX_IMAGES]
    return tuple(decode(source.content, name=source.name) for source in sources)


def random_set(
    inputs: Sequence[TensorSpec], preprocessing: Preprocessing | None, rows: int, seed: int = 0
) -> InputSet:
    """Seeded random inputs, coarse and fine, faint and strong in turn.

    Plain noise would not do: to a convolutional network one picture of it looks like the next, the
    outputs hardly differ, and the error over signal divides by next to nothing.

    Args:
        inputs: The network's inputs.
        preprocessing: How a picture becomes its input; None if it takes none.
        rows: How many.
        seed: Seed of the generator.
    """
    rng = np.random.default_rng(seed)
    if preprocessing is not None:
        pixels = np.stack([_random_picture(preprocessing, row, rng) for row in range(rows)])
        feeds = {inputs[0].name: normalize(pixels, preprocessing)}
        return InputSet("random", feeds, f"{rows} random pictures, coarse and fine")
    feeds = {spec.name: _random(spec, rows, rng) for spec in inputs}
    return InputSet("random", feeds, f"{rows} random inputs, faint and strong")


def extreme_set(inputs: Sequence[TensorSpec], preprocessing: Preprocessing | None) -> InputSet:
    """Inputs at and beyond the edge of what a network meets; finite, and each of its own kind.

    Args:
        inputs: The network's inputs.
        preprocessing: How a picture becomes its input; None if it takes none.

    Returns:
        As many rows as the input with the most kinds has; others begin again.
    """
    feeds = {}
    for spec in inputs:
        parts = [_edge_pictures(preprocessing)] if preprocessing is not None else []
        if np.issubdtype(spec.dtype, np.floating):
            parts.append(_edge_values(spec))
        elif preprocessing is None:
            parts.append(_edge_integers(spec))
        feeds[spec.name] = np.concatenate(parts)
    rows = max(map(len, feeds.values()))
    feeds = {name: values[np.arange(rows) % len(values)] for name, values in feeds.items()}
    detail = f"{rows} inputs: constant, alternating, one single pixel, tiny, denormal, large"
    return InputSet("extremes", feeds, detail)


def scaled_set(base: InputSet, factor: float) -> InputSet:
    """``base`` times ``factor``; integers, which are indices or flags, stay as they are."""
    feeds = {
        name: (values * values.dtype.type(factor)).astype(values.dtype)
        if np.issubdtype(values.dtype, np.floating)
        else values
        for name, values in base.feeds.items()
    }
    times = f"{factor:.0f}" if factor >= 10 else f"{factor:.2g}"
    name = f"{ACTIVE_PREFIX}-x{times}"
    return InputSet(name, feeds, f"{base.detail}, times {times} so that LRN acts")


def joined_set(sets: Sequence[InputSet], rows: int) -> InputSet:
    """The first ``rows`` inputs of the sets, taken in turn from each so that all have a share."""
    total = min(rows, sum(inputs.rows for inputs in sets))
    order = sorted(
        ((row, at) for at, inputs in enumerate(sets) for row in range(inputs.rows)), key=lambda x: x
    )[:total]
    feeds = {
        name: np.stack([sets[at].feeds[name][row] for row, at in order]) for name in sets[0].feeds
    }
    names = " and ".join(inputs.name for inputs in sets)
    return InputSet(ACTIVE_PREFIX, feeds, f"{total} of {names}")


def scalable(inputs: Sequence[TensorSpec]) -> bool:
    """Whether an input is floating-point, so that it can be scaled."""
    return any(np.issubdtype(spec.dtype, np.floating) for spec in inputs)


def _random_picture(preprocessing: Preprocessing, row: int, rng: np.random.Generator) -> Array:
    """Squares of random colours, from single pixels to a quarter of the picture's side."""
    height, width = preprocessing.crop
    coarsest = max(min(height, width) // 4, 1)
    square = max(coarsest >> (row % 6), 1)
    cells = rng.integers(
        0, 256, (-(-height // square), -(-width // square), preprocessing.channels)
    )
    tiles = np.repeat(np.repeat(cells, square, axis=0), square, axis=1)
    return tiles[:height, :width].astype(np.uint8)


def _random(spec: TensorSpec, rows: int, rng: np.random.Generator) -> Array:
    """Normal values around a mean and with a spread of each row's own, or uniform integers."""
    shape = (rows, *spec.at_batch(rows)[1:])
    dtype = np.dtype(spec.dtype)
    if np.issubdtype(dtype, np.floating):
        each = (rows, *(1,) * (len(shape) - 1))
        mean, spread = rng.uniform(-1, 1, each), 10 ** rng.uniform(-0.5, 0.5, each)
        return ((mean + rng.standard_normal(shape)) * spread).astype(dtype)
    low, high = _integer_range(spec)
    return rng.integers(low, high, shape, endpoint=True).astype(dtype)


def _edge_pictures(preprocessing: Preprocessing) -> Array:
    """Black, white, one colour, a checkerboard, one white pixel: what the decoder can give."""
    height, width = preprocessing.crop
    pixels = np.full((5, height, width, preprocessing.channels), _BLACK, np.uint8)
    pixels[1] = _WHITE
    pixels[2, ..., 0] = _WHITE
    pixels[3] = _WHITE * (np.add.outer(np.arange(height), np.arange(width)) % 2)[..., None]
    pixels[4, height // 2, width // 2] = _WHITE
    return normalize(pixels, preprocessing)


def _edge_values(spec: TensorSpec) -> Array:
    """Zeros, ones, minus ones, alternating signs, large, tiny and denormal values."""
    shape = spec.at_batch(1)[1:]
    signs = np.where(np.indices(shape).sum(axis=0) % 2, -1.0, 1.0)
    noise = np.random.default_rng(1).standard_normal(shape)
    rows = [np.zeros(shape), np.ones(shape), -np.ones(shape), signs, 1e3 * noise, 1e-20 * noise]
    if np.dtype(spec.dtype) == np.float32:
        rows.append(np.full(shape, 1e-40))
    return np.stack(rows).astype(spec.dtype)


def _edge_integers(spec: TensorSpec) -> Array:
    dtype = np.dtype(spec.dtype)
    shape = spec.at_batch(1)[1:]
    return np.stack([np.full(shape, value, dtype) for value in _integer_range(spec)])


def _integer_range(spec: TensorSpec) -> tuple[int, int]:
    dtype = np.dtype(spec.dtype)
    if spec.values is not None:
        return spec.values.low, spec.values.high
    if dtype == np.bool_:
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)

"""The part of a preprocessing that somebody said, and what the tool fills in for the rest.

The same names and forms hold for the command line's options, for a file, and for a module's own
``preprocessing`` attribute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pydantic import ValidationError

from lrn_deploy.bundle.preprocessing import MODES, Colors, Interpolation, Preprocessing
from lrn_deploy.bundle.said_values import READERS
from lrn_deploy.errors import BadInputError

NAMES = ("colors", "resize", "crop", "interpolation", "scale", "mean", "std")
"""What can be said, in the order of its use."""

_BOTH = "Give --mean and --std both; a mean of 0 and a std of 1 change nothing."


@dataclass(frozen=True)
class Said:
    """What somebody said of a preprocessing; None where nobody did.

    Attributes:
        colors: Order of the channels.
        resize: The shorter side in pixels, or the whole image's height and width.
        crop: Height and width in pixels.
        interpolation: The resampling filter.
        scale: Factor of the pixel values 0 to 255, before mean and std.
        mean: One for each channel in the network's order, or one for all.
        std: Likewise.
    """

    colors: Colors | None = None
    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    interpolation: Interpolation | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any], where: str) -> Said:
        """What a mapping says, as options, JSON, TOML or a module's attribute have it.

        Args:
            content: Names of :data:`NAMES` and their values; None is as good as absent. Numbers may
                be text as well, ``123,117,104``, ``1/255`` or ``224x224`` for instance.
            where: What messages call it.

        Raises:
            BadInputError: If a name or a value is none that is known.
        """
        unknown = [str(name) for name in content if name not in NAMES]
        if unknown:
            raise BadInputError(
                f"{where} has no entry '{unknown[0]}' to take.",
                f"A preprocessing is described by {', '.join(NAMES)}.",
            )
        given = {name: value for name, value in content.items() if value is not None}
        return cls(**{name: READERS[name](name, value, where) for name, value in given.items()})

    @classmethod
    def from_recipe(cls, recipe: Preprocessing, *, everything: bool = False) -> Said:
        """What was said of ``recipe``, or ``everything`` in it, what was assumed included."""
        whole = cls(
            colors=recipe.colors,
            resize=recipe.crop if recipe.resize is None else recipe.resize,
            crop=recipe.crop,
            interpolation=recipe.interpolation,
            scale=recipe.scale,
            mean=recipe.mean,
            std=recipe.std,
        )
        return whole if everything else replace(whole, **dict.fromkeys(recipe.assumed))

    @property
    def content(self) -> dict[str, Any]:
        """What was said, by its names; :meth:`of` takes it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, other: Said) -> Said:
        """This, and where it says nothing what ``other`` says.

        Raises:
            BadInputError: If this has a mean without a scale that is impossible at the other's, or
                another order of channels without a mean and std in that order.
        """
        if self.mean is not None and self.scale is None and other.scale is not None:
            _check_range(self.mean, None, other.scale)
        if self.colors is not None and other.colors not in (None, self.colors):
            for name in ("mean", "std"):
                values = getattr(other, name)
                if getattr(self, name) is None and len(set(values or ())) > 1:
                    raise BadInputError(
                        f"The {name} {list(values)} is in the order {other.colors}, and colors are "
                        f"now {self.colors}.",
                        f"Give --{name} as well, in the new order.",
                    )
        return replace(other, **self.content)

    def settles(self, shape: tuple[int, ...]) -> bool:
        """Whether nothing is left to assume for inputs of ``shape`` (C, H, W)."""
        known = {"crop", *self.content} | ({"colors"} if shape[0] == 1 else set())
        return known.issuperset(NAMES)


assert tuple(field.name for field in fields(Said)) == NAMES


def complete(
    said: Said, shape: tuple[int, ...], base: Preprocessing | None = None
) -> Preprocessing | None:
    """The preprocessing of a network: what was said, and ImageNet's usual one for the rest.

    Args:
        said: What somebody said.
        shape: Shape of one input without the batch.
        base: What holds where ``said`` says nothing; what it assumes is still assumed.

    Returns:
        The preprocessing, with the names of what is assumed; None if the network takes no images.

    Raises:
        BadInputError: If what was said is impossible, or not for inputs of this shape.
    """
    if base is not None:
        if said == Said():
            return base
        said = said.over(Said.from_recipe(base))
    if len(shape) != 3 or shape[0] not in (1, 3):
        if said == Said():
            return None
        raise BadInputError(
            f"The network takes inputs of shape {shape}, which are no images, so it has no "
            "preprocessing.",
            "Leave out what describes one.",
        )
    channels, height, width = shape
    _check_shape(said, channels, (height, width))
    _check_scaling(said)
    usual = round(height * 256 / 224) if height == width and height >= 64 else None
    gray = channels == 1
    mean, std = ((0.5,), (0.5,)) if gray else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    if said.colors == "bgr":  # the same for each colour
        mean, std = mean[::-1], std[::-1]
    try:
        return Preprocessing(
            mode="L" if gray else MODES[said.colors or "rgb"],
            resize=usual if said.resize is None else _straight(said.resize, (height, width)),
            crop=(height, width),
            interpolation=said.interpolation or "bilinear",
            scale=1 / 255 if said.scale is None else said.scale,
            mean=_each(said.mean, channels) or mean,
            std=_each(said.std, channels) or std,
            in_graph=base is not None and base.in_graph,
            assumed=tuple(
                name
                for name in NAMES
                if name not in said.content and name != "crop" and not (gray and name == "colors")
            ),
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadInputError(
            f"The preprocessing is not possible: {reason}.", "Correct what was given for it."
        ) from error


def _check_shape(said: Said, channels: int, size: tuple[int, int]) -> None:
    if said.colors is not None and (said.colors == "gray") != (channels == 1):
        raise BadInputError(
            f"The network takes {channels} channel{'s' * (channels > 1)}, which cannot be "
            f"'{said.colors}'.",
            "Its colors are gray." if channels == 1 else "Choose rgb or bgr.",
        )
    for name, values in (("mean", said.mean), ("std", said.std)):
        if values is not None and len(values) not in (1, channels):
            raise BadInputError(
                f"The {name} has {len(values)} numbers for a network of {channels} "
                f"channel{'s' * (channels > 1)}.",
                "Give one for each channel, in the network's order, or one for all.",
            )
    if said.crop is not None and said.crop != size:
        raise BadInputError(
            f"A crop of {said.crop[0]} x {said.crop[1]} does not fit the network, which takes "
            f"{size[0]} x {size[1]} pixels.",
            "Leave the crop out, or export the network for inputs of that size with --shape.",
        )


def _check_scaling(said: Said) -> None:
    """Refuse a scale, mean and std of which one half was said and the other would be guessed."""
    if (said.mean is None) != (said.std is None):
        missing = "mean" if said.mean is None else "std"
        given = "std" if missing == "mean" else "mean"
        raise BadInputError(f"A {given} is given without a {missing}.", _BOTH)
    if said.scale is not None and said.mean is None and not math.isclose(said.scale, 1 / 255):
        raise BadInputError(
            f"A scale of {said.scale:g} is given without mean and std, and the usual ones are for "
            "a scale of 1/255.",
            _BOTH,
        )
    if said.mean is not None and said.scale is None:
        _check_range(said.mean, said.std, 1 / 255)


def _check_range(mean: tuple[float, ...], std: tuple[float, ...] | None, scale: float) -> None:
    """Refuse numbers that nobody can mean for pixels from 0 to 255 times ``scale``."""
    low, high = sorted((0.0, 255 * scale))
    numbers = [("mean", value) for value in mean if not low <= value <= high]
    numbers += [("std", value) for value in std or () if abs(value) > max(high - low, 1)]
    if numbers:
        name, value = numbers[0]
        raise BadInputError(
            f"A {name} of {value:g} does not fit pixels from 0 to {255 * scale:g}, and no scale is "
            "given with it.",
            "Add --scale: 1 if mean and std are for pixels from 0 to 255, 1/255 for 0 to 1.",
        )


def _each(values: tuple[float, ...] | None, channels: int) -> tuple[float, ...] | None:
    return values * channels if values is not None and len(values) == 1 else values


def _straight(resize: int | tuple[int, int], crop: tuple[int, int]) -> int | tuple[int, int] | None:
    return None if resize == crop else resize

"""A preprocessing of what somebody said, with what the tool fills in for the rest."""

from __future__ import annotations

import math
from dataclasses import replace

from pydantic import ValidationError

from lrn_deploy.bundle.preprocessing import MODES, Preprocessing
from lrn_deploy.errors import BadInputError
from lrn_deploy.said import NAMES, Said, check_range

_BOTH = "Give --mean and --std both; a mean of 0 and a std of 1 change nothing."


def said_of(preprocessing: Preprocessing, *, everything: bool = False) -> Said:
    """What was said of it, or ``everything`` in it, what was assumed included."""
    whole = Said(
        colors=preprocessing.colors,
        resize=preprocessing.crop if preprocessing.resize is None else preprocessing.resize,
        crop=preprocessing.crop,
        interpolation=preprocessing.interpolation,
        scale=preprocessing.scale,
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
    return whole if everything else replace(whole, **dict.fromkeys(preprocessing.assumed))


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
        said = said.over(said_of(base))
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
        check_range(said.mean, said.std, 1 / 255)


def _each(values: tuple[float, ...] | None, channels: int) -> tuple[float, ...] | None:
    return values * channels if values is not None and len(values) == 1 else values


def _straight(resize: int | tuple[int, int], crop: tuple[int, int]) -> int | tuple[int, int] | None:
    return None if resize == crop else resize

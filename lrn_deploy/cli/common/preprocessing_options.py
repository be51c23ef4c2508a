"""The options that say how an image becomes a network's input."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lrn_deploy.errors import BadInputError

if TYPE_CHECKING:
    from lrn_deploy.bundle import Said

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    ("colors", "rgb|bgr|gray", "Order of the network's channels."),
    ("resize", "N|H,W", "Resize the shorter side to N pixels, or the image to H x W."),
    ("crop", "N|H,W", "Crop the centre; it must be the network's input."),
    ("interpolation", "NAME", "bilinear, bicubic, nearest, lanczos or box."),
    ("scale", "X", "Multiply pixels 0..255 by X before mean and std, 1 or 1/255 for instance."),
    ("mean", "X,Y,Z", "Subtract this from the scaled channels, in the network's order."),
    ("std", "X,Y,Z", "Divide by this then."),
)


def preprocessing_options(function: Function) -> Function:
    """Add ``--mean``, ``--std`` and so on, which :func:`said_by_options` takes by their names."""
    decorators = [
        click.option(
            "--preprocessing",
            "preprocessing_file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="JSON or TOML with the names of the options below, which go before it.",
        ),
        *(click.option(f"--{name}", metavar=form, help=text) for name, form, text in _OPTIONS),
    ]
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def said_by_options(preprocessing_file: Path | None, **options: str | None) -> Said:
    """What the options say, and where they say nothing the file.

    Raises:
        BadInputError: If one of them cannot be understood, or the file cannot be read.
    """
    from lrn_deploy.bundle import Said

    said = Said.of(options, "the command line")
    if preprocessing_file is None:
        return said
    return said.over(Said.of(_read(preprocessing_file), f"'{preprocessing_file}'"))


def _read(path: Path) -> dict[str, Any]:
    kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
    hint = 'Write {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]} for instance.'
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(
            f"'{path}' cannot be read: {error.strerror}.", "Check the path."
        ) from error
    except ValueError as error:
        raise BadInputError(f"'{path}' is no {kind}: it is not UTF-8 text.", hint) from error
    try:
        content = tomllib.loads(text) if kind == "TOML" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(
            f"'{path}' is no {kind}: {error}.", "Name a TOML file .toml, and correct it."
        ) from error
    if not isinstance(content, dict):
        raise BadInputError(f"'{path}' holds no object with names and values.", hint)
    return content

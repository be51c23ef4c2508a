"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def bundle_output(function: Function) -> Function:
    """Add ``-o BUNDLE`` and ``--force``, passed as ``output`` and ``force``."""
    function = click.option("--force", is_flag=True, help="Replace the bundle that is there.")(
        function
    )
    return click.option(
        "-o",
        "--output",
        required=True,
        type=click.Path(path_type=Path),
        metavar="BUNDLE",
        help="Folder of the bundle to make.",
    )(function)


bundle_argument = click.argument("bundle", type=click.Path(path_type=Path))
"""The positional argument BUNDLE, passed as ``bundle``."""


def parse_shape(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Callback of ``--shape C,H,W``."""
    if value is None:
        return None
    try:
        shape = tuple(int(part) for part in value.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise click.BadParameter(f"'{value}' is no shape; write 3,227,227 for instance.")
    return shape

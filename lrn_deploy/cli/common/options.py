"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lrn_deploy.options import binary_size

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


def gpu_memory_option(function: Function) -> Function:
    """Add ``--gpu-memory SIZE``, passed as ``gpu_memory`` in bytes or None."""
    return click.option(
        "--gpu-memory",
        metavar="SIZE",
        callback=_bytes,
        help="Most GPU memory that the bundle may take, 2G for instance; checked at load.",
    )(function)


def _bytes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else binary_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error

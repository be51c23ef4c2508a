"""Options of the commands that import a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lrn_deploy.cli.common.options import parse_shapes
from lrn_deploy.cli.common.preprocessing_options import (
    preprocessing_options,
    said_by_options,
)
from lrn_deploy.errors import BadInputError

if TYPE_CHECKING:
    from lrn_deploy.bundle import TensorSpec
    from lrn_deploy.workflows.import_network.options import ImportRequest

Function = TypeVar("Function", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)

mean_file_option = click.option(
    "--mean-file",
    type=_FILE,
    metavar="FILE",
    help="Mean of the images that a network of Caffe's was trained on: .binaryproto or .npy.",
)
"""Adds ``--mean-file FILE``."""

stage_option = click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME",
    help="Stage of a Caffe network that holds, for layers that ask for one; repeatable.",
)
"""Adds ``--stage NAME``."""


def import_options(function: Function) -> Function:
    """Add what describes a network that is imported, as :func:`import_request` takes it."""
    for decorate in reversed(
        (
            mean_file_option,
            stage_option,
            click.option(
                "--shape",
                multiple=True,
                callback=parse_shapes,
                metavar="C,H,W",
                help="Shape of an input without the batch, where the files do not say it.",
            ),
            click.option("--labels", type=_FILE, help="Class names: one in each line, or JSON."),
            click.option("--name", help="Name to serve and report it as; else its folder's."),
            preprocessing_options,
        )
    ):
        function = decorate(function)
    return function


def import_request(
    files: Sequence[Path],
    mean_file: Path | None,
    stages: tuple[str, ...],
    shape: tuple[TensorSpec, ...],
    labels: Path | None,
    name: str | None,
    **preprocessing: Any,
) -> ImportRequest:
    """The files and the values of :func:`import_options` as a request.

    Raises:
        BadInputError: If a shape is given for more than one input.
    """
    from lrn_deploy.workflows.import_network.options import ImportRequest

    if len(shape) > 1:
        raise BadInputError("--shape is given more than once.", "Only the first input takes it.")
    sizes = shape[0].shape[1:] if shape else None
    return ImportRequest(
        files=tuple(files),
        mean=mean_file,
        stages=stages,
        input_shape=None if sizes is None else tuple(int(size) for size in sizes),
        labels=labels,
        name=name,
        preprocessing=said_by_options(**preprocessing),
    )

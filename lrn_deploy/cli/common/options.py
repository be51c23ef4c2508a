"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lrn_deploy.cli.common.preprocessing_options import (
    preprocessing_options,
    said_by_options,
)
from lrn_deploy.options import binary_size

if TYPE_CHECKING:
    from lrn_deploy.bundle import TensorSpec
    from lrn_deploy.export import ExportRequest

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


def parse_shapes(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[TensorSpec, ...]:
    """Callback of ``--shape [NAME=]C,H,W[:DTYPE]``, given once for each input.

    The shape may be empty: one number for each row of the batch. An input without a name has an
    empty one.
    """
    from lrn_deploy.network.inputs import one_input

    inputs = []
    for value in values:
        found = re.fullmatch(r"(?:([^=,:]+)=)?((?:\d+(?:,\d+)*)?)(?::(\w+))?", value.strip())
        axes = [int(axis) for axis in found[2].split(",") if axis] if found else []
        if found is None or 0 in axes or not any(found.groups()):
            raise click.BadParameter(
                f"'{value}' is no shape; write 3,227,227 or tokens=8:int64 for instance."
            )
        inputs.append(one_input(axes, name=found[1] or "", dtype=found[3] or "float32"))
    return tuple(inputs)


def export_options(function: Function) -> Function:
    """Add what describes a network: MODEL, ``-o``, ``--weights``, ``--seed`` and so on.

    The command gets them as keyword arguments, which :func:`export_request` takes.
    """
    for decorate in reversed(
        (
            click.argument("model"),
            bundle_output,
            click.option(
                "--weights",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE[#KEY]",
                help="PyTorch checkpoint, safetensors file or index, or .npz; with #KEY the "
                "mapping in it, where several fit.",
            ),
            click.option("--name", help="Name to serve and report it as; else its folder's."),
            click.option("--seed", default=0, show_default=True, help="Seed of random weights."),
            click.option(
                "--shape",
                multiple=True,
                callback=parse_shapes,
                metavar="[NAME=]C,H,W[:DTYPE]",
                help="Shape of an input without the batch, for a factory; once for each input.",
            ),
            click.option("--opset", default=18, show_default=True, help="ONNX opset, 18 to 20."),
            click.option(
                "--input",
                "input_kind",
                type=click.Choice(["float", "uint8"]),
                default="float",
                show_default=True,
                help="uint8: take images (N, H, W, C), with preprocessing inside the graph.",
            ),
            click.option(
                "--labels",
                type=click.Path(path_type=Path, dir_okay=False),
                help="Class names: one in each line, or JSON: a list or a map of indices to names.",
            ),
            preprocessing_options,
        )
    ):
        function = decorate(function)
    return function


def export_request(
    model: str,
    weights: Path | None,
    seed: int,
    shape: tuple[TensorSpec, ...],
    opset: int,
    input_kind: str,
    labels: Path | None,
    name: str | None,
    **preprocessing: Any,
) -> ExportRequest:
    """The values of :func:`export_options`, without the output, as a request."""
    from lrn_deploy.export import ExportRequest

    return ExportRequest(
        factory=model,
        weights=weights,
        seed=seed,
        inputs=shape,
        opset=opset,
        uint8_input=input_kind == "uint8",
        labels=labels,
        name=name,
        preprocessing=said_by_options(**preprocessing),
    )

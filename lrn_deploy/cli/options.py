"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lrn_deploy.cli.preprocessing_options import (
    preprocessing_options,
    said_by_options,
    warn_assumed,
)

if TYPE_CHECKING:
    from rich.console import Console

    from lrn_deploy.bundle import Manifest
    from lrn_deploy.export import ExportRequest

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}

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
        callback=parse_bytes,
        help="Most GPU memory that the bundle may take, 2G for instance; checked at load.",
    )(function)


def parse_bytes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Callback of options that take a SIZE: bytes, or with K, M or G."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", value.strip(), re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        raise click.BadParameter(f"'{value}' is no size; write 512M or 4G for instance.")
    return int(found[1]) * _UNITS[found[2].upper()]


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
                "--shape", callback=parse_shape, help="Shape of one input, C,H,W, for a factory."
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
    shape: tuple[int, ...] | None,
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
        input_shape=shape,
        opset=opset,
        uint8_input=input_kind == "uint8",
        labels=labels,
        name=name,
        preprocessing=said_by_options(**preprocessing),
    )


def describe_export(say: Console, manifest: Manifest, output: Path, *, reused: bool) -> None:
    """Say what was exported, or that it was there already."""
    if reused:
        say.print(f"{output} is up to date: same network, weights, options and tools.")
    else:
        size = manifest.artifact("model").size / 1e6
        model = manifest.model
        what = model.factory.rpartition("/")[2]
        say.print(f"Exported {what} to {output} (model.onnx, {size:.1f} MB).")
        if model.name != output.resolve().name:
            say.print(f"  name: {model.name}")
    say.print(f"  weights: {manifest.model.weights.note}")
    if not manifest.lrn_layers:
        say.print("  LRN: the network has none; everything else works the same")
    for layer in manifest.lrn_layers:
        reason = f": {layer.reason}" if layer.reason else ""
        say.print(f"  LRN: {layer.name} {layer.form}{reason}")
    recipe = manifest.preprocessing
    if recipe is not None:
        say.print(f"  preprocessing: {recipe.described}")
        if recipe.assumed:
            say.print(f"  {warn_assumed(recipe, output)}", style="yellow")

"""``lrn-deploy inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrn_deploy.cli.options import bundle_argument
from lrn_deploy.cli.output import emit, json_option, people
from lrn_deploy.errors import DAMAGED, DONE

if TYPE_CHECKING:
    from rich.console import Console

    from lrn_deploy.bundle import Manifest, TensorSpec
    from lrn_deploy.workflows.inspect import Inspection


@click.command("inspect")
@bundle_argument
@json_option
def command(bundle: Path, as_json: bool) -> int:
    """Show what a bundle holds: graph, LRN layers, artifacts, digests, provenance.

    Every file is read and checked against its digest; exit code 4 if one is damaged.

    \b
    Example:
      lrn-deploy inspect alexnet
      lrn-deploy inspect alexnet --json | jq .manifest.lrn_layers
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.workflows.inspect import inspect

    result = inspect(Bundle.open(bundle))
    if as_json:
        emit(result)
    else:
        _print(result, people(as_json))
    for file in result.damaged:
        click.echo(f"Error: {file.problem}", err=True)
    return DAMAGED if result.damaged else DONE


def _print(result: Inspection, console: Console) -> None:
    manifest = result.manifest
    console.print(f"{manifest.model.name} in {result.bundle}", style="bold")
    _print_model(manifest, console)
    counts = ", ".join(f"{count} {operator}" for operator, count in result.operators.items())
    console.print(
        f"  graph    {sum(result.operators.values())} nodes: {counts} "
        f"(opset {result.opset}, IR {result.ir_version})"
    )
    _print_lrn(manifest, console)
    _print_files(result, console)


def _print_model(manifest: Manifest, console: Console) -> None:
    model = manifest.model
    console.print(f"  source   {model.factory}")
    console.print(f"  weights  {model.weights.note}")
    if model.weights.sha256:
        console.print(f"           sha256 {model.weights.sha256}")
    console.print(f"  input    {'; '.join(_tensor(spec) for spec in manifest.inputs)}")
    console.print(f"  output   {'; '.join(_tensor(spec) for spec in manifest.outputs)}")
    if manifest.preprocessing is not None:
        recipe = manifest.preprocessing
        resize = f"shorter side to {recipe.resize}, " if recipe.resize else "resize to "
        where = "in the graph" if recipe.in_graph else "before the graph"
        console.print(
            f"  images   {recipe.mode}, {resize}{recipe.crop[0]} x {recipe.crop[1]}, "
            f"{recipe.interpolation}; scaling and normalisation {where}"
        )
    if manifest.labels is None:
        console.print("  labels   none")


def _print_lrn(manifest: Manifest, console: Console) -> None:
    from rich.table import Table

    if not manifest.lrn_layers:
        console.print("  LRN      none")
        return
    table = Table("LRN layer", "size", "alpha", "beta", "k", "input", "in the graph", "why")
    for layer in manifest.lrn_layers:
        spec = layer.spec
        table.add_row(
            layer.name,
            str(spec.size),
            f"{spec.alpha:g}",
            f"{spec.beta:g}",
            f"{spec.k:g}",
            " x ".join(str(axis) for axis in layer.shape),
            layer.form,
            layer.reason or "-",
        )
    console.print(table)


def _print_files(result: Inspection, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "file", "precision", "target", "MB", "sha256", "state")
    for file in result.files:
        artifact = result.manifest.artifacts.get(file.name)
        table.add_row(
            file.name,
            file.file,
            artifact.precision if artifact else "-",
            artifact.target if artifact else "-",
            f"{file.size / 1e6:.2f}",
            file.sha256[:12],
            Text("damaged", style="red") if file.problem else "ok",
        )
    console.print(table)
    console.print(f"  default artifact: {result.manifest.default}")


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name}: {spec.dtype} {list(spec.shape)}".replace("'", "")

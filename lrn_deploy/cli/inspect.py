"""``lrn-deploy inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.places import any_bundle
from lrn_deploy.errors import DAMAGED, DONE
from lrn_deploy.report.console.export import describe_lrn_like, warn_assumed
from lrn_deploy.report.console.layout import Column, print_facts, print_list

if TYPE_CHECKING:
    from rich.console import Console

    from lrn_deploy.bundle import LrnLayer, Manifest
    from lrn_deploy.workflows.inspect import Inspection


@click.command("inspect")
@any_bundle
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
    counts = ", ".join(f"{count} {operator}" for operator, count in result.operators.items())
    graph = (
        f"{sum(result.operators.values())} nodes: {counts} "
        f"(opset {result.opset}, IR {result.ir_version})"
    )
    facts = [*_model_facts(manifest, result.bundle), ("graph", graph)]
    facts += [("LRN", describe_lrn_like(like)) for like in manifest.lrn_like]
    if not manifest.lrn_layers and not manifest.lrn_like:
        facts.append(("LRN", "none"))
    facts.append(("default", f"artifact {manifest.default}"))
    facts += [("outdated", note) for note in result.stale]
    print_facts(console, facts)
    if manifest.lrn_layers:
        print_list(
            console, "LRN layers", _LRN_COLUMNS, [_lrn_row(layer) for layer in manifest.lrn_layers]
        )
    print_list(console, "Files", _FILE_COLUMNS, _file_rows(result), alarms=["damaged"])


def _model_facts(manifest: Manifest, bundle: str) -> list[tuple[str, str]]:
    model = manifest.model
    facts = [("source", model.factory), ("weights", model.weights.note)]
    if model.weights.sha256:
        facts.append(("", f"sha256 {model.weights.sha256}"))
    facts.append(("input", "; ".join(spec.described for spec in manifest.inputs)))
    facts.append(("output", "; ".join(spec.described for spec in manifest.outputs)))
    if manifest.preprocessing is not None:
        preprocessing = manifest.preprocessing
        where = "in the graph" if preprocessing.in_graph else "before the graph"
        facts.append(("preprocessing", f"{preprocessing.described}; mean and std {where}"))
        if preprocessing.assumed:
            facts.append(("", warn_assumed(preprocessing, bundle)))
    if manifest.labels is None:
        facts.append(("labels", "none"))
    return facts


_LRN_COLUMNS = (
    Column("LRN layer"),
    Column("size", "size="),
    Column("alpha", "alpha="),
    Column("beta", "beta="),
    Column("k", "k="),
    Column("input", "input "),
    Column("parameters", "parameters "),
    Column("in the graph"),
    Column("why", "because ", wraps=True),
)


def _lrn_row(layer: LrnLayer) -> list[str]:
    spec = layer.spec
    return [
        layer.name,
        str(spec.size),
        f"{spec.alpha:g}",
        f"{spec.beta:g}",
        f"{spec.k:g}",
        " x ".join(str(axis) for axis in layer.shape),
        layer.described_origin,
        layer.form,
        layer.reason or "-",
    ]


_FILE_COLUMNS = (
    Column("what"),
    Column("file"),
    Column("precision"),
    Column("target", "for "),
    Column("size"),
    Column("sha256", "sha256 "),
    Column("state"),
)


def _file_rows(result: Inspection) -> list[list[str]]:
    artifacts = result.manifest.artifacts
    return [
        [
            file.name,
            file.file,
            artifacts[file.name].precision if file.name in artifacts else "-",
            artifacts[file.name].target if file.name in artifacts else "-",
            f"{file.size / 1e6:.2f} MB",
            file.sha256[:12],
            "damaged" if file.problem else "ok",
        ]
        for file in result.files
    ]

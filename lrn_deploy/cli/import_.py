"""``lrn-deploy import``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrn_deploy.cli.common.options import bundle_output, parse_shapes
from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.preprocessing_options import (
    preprocessing_options,
    said_by_options,
)
from lrn_deploy.errors import BadInputError
from lrn_deploy.report.console.export import warn_assumed

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("import")
@click.argument("prototxt", type=_FILE)
@click.argument("caffemodel", type=_FILE)
@bundle_output
@click.option(
    "--mean-file", type=_FILE, metavar="FILE", help="Mean of the training images: binaryproto, npy."
)
@click.option(
    "--shape",
    multiple=True,
    callback=parse_shapes,
    metavar="C,H,W",
    help="Shape of an input without the batch, where the prototxt does not say it.",
)
@click.option("--labels", type=_FILE, help="Class names: one in each line, or JSON.")
@click.option("--name", help="Name to serve and report it as; else its folder's.")
@preprocessing_options
@json_option
def command(
    prototxt: Path,
    caffemodel: Path,
    output: Path,
    force: bool,
    mean_file: Path | None,
    shape: tuple[Any, ...],
    labels: Path | None,
    name: str | None,
    as_json: bool,
    **preprocessing: Any,
) -> None:
    """Import a network that Caffe was trained with into a bundle.

    PROTOTXT is its deploy.prototxt or train_val.prototxt, of any age, and CAFFEMODEL its weights.
    Layers that are for training only are cut, and said.

    \b
    Example:
      lrn-deploy import deploy.prototxt net.caffemodel --mean-file mean.binaryproto -o net
    """
    from lrn_deploy.workflows.import_network import ImportRequest, import_network

    if len(shape) > 1:
        raise BadInputError("--shape is given more than once.", "Only the first input takes it.")
    request = ImportRequest(
        prototxt=prototxt,
        caffemodel=caffemodel,
        mean=mean_file,
        input_shape=shape[0].shape[1:] if shape else None,
        labels=labels,
        name=name,
        preprocessing=said_by_options(**preprocessing),
    )
    done = import_network(request, output, force=force)
    manifest = done.bundle.manifest
    if as_json:
        emit(
            {
                "bundle": str(output),
                "lrn": list(done.lrn),
                "told": list(done.told),
                "manifest": manifest.model_dump(mode="json"),
            }
        )
        return
    say = people(as_json)
    size = manifest.artifact("model").size / 1e6
    say.print(f"Imported {prototxt.name} to {output} (model.onnx, {size:.1f} MB).")
    say.print(f"  weights: {manifest.model.weights.note}")
    for sentence in done.lrn:
        say.print(f"  LRN: {sentence}", markup=False)
    for layer in manifest.lrn_layers:
        if layer.reason:
            say.print(f"  LRN: {layer.name} {layer.form}: {layer.reason}", markup=False)
    for sentence in done.told:
        say.print(f"  {sentence}", markup=False)
    recipe = manifest.preprocessing
    if recipe is not None:
        say.print(f"  preprocessing: {recipe.described}", markup=False)
        if recipe.assumed:
            say.print(f"  {warn_assumed(recipe, output)}", style="yellow")
    say.print(f"Next: lrn-deploy validate {output}")

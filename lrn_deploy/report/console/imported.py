"""What was imported, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.report.console.export import warn_assumed

if TYPE_CHECKING:
    from rich.console import Console

    from lrn_deploy.bundle import Manifest


def describe_import(
    say: Console, manifest: Manifest, lrn: Sequence[str], told: Sequence[str], output: Path
) -> None:
    """Say what was imported, each LRN with its parameters, and what was cut or assumed.

    Args:
        say: Where to.
        manifest: The bundle's.
        lrn: A sentence for each LRN.
        told: What else there is to say.
        output: The bundle's folder.
    """
    size = manifest.artifact("model").size / 1e6
    name = Path(manifest.model.factory).name
    say.print(f"Imported {name} to {output} (model.onnx, {size:.1f} MB).", markup=False)
    say.print(f"  weights: {manifest.model.weights.note}", markup=False)
    if not manifest.lrn_layers and not manifest.lrn_like:
        say.print("  LRN: the network has none; everything else works the same")
    for sentence in lrn:
        say.print(f"  LRN: {sentence}", markup=False)
    for layer in manifest.lrn_layers:
        if layer.reason:
            say.print(f"  LRN: {layer.name} {layer.form}: {layer.reason}", markup=False)
    if manifest.model.origin == "onnx":
        for like in manifest.lrn_like:
            say.print(f"  LRN: {like.name} is none that ONNX has: {like.reason}", markup=False)
    for sentence in told:
        say.print(f"  {sentence}", markup=False)
    preprocessing = manifest.preprocessing
    if preprocessing is not None:
        say.print(f"  preprocessing: {preprocessing.described}", markup=False)
        if preprocessing.assumed:
            say.print(f"  {warn_assumed(preprocessing, output)}", style="yellow")

"""What was exported, in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.placement import MODEL

if TYPE_CHECKING:
    from rich.console import Console

    from lrn_deploy.bundle import LrnLayer, LrnLike, Manifest, Preprocessing


def describe_export(say: Console, manifest: Manifest, output: Path, *, reused: bool) -> None:
    """Say what was exported, or that it was there already."""
    if reused:
        say.print(f"{output} is up to date: same network, weights, options and tools.")
    else:
        size = manifest.artifact(MODEL).size / 1e6
        model = manifest.model
        what = model.factory.rpartition("/")[2]
        say.print(f"Exported {what} to {output} (model.onnx, {size:.1f} MB).")
        if model.name != output.resolve().name:
            say.print(f"  name: {model.name}")
    say.print(f"  weights: {manifest.model.weights.note}")
    if len(manifest.inputs) > 1 or manifest.inputs[0].values is not None:
        for spec in manifest.inputs:
            say.print(f"  input {spec.described}", markup=False)
    if not manifest.lrn_layers and not manifest.lrn_like:
        say.print("  LRN: the network has none; everything else works the same")
    for layer in manifest.lrn_layers:
        say.print(f"  LRN: {describe_lrn(layer)}")
    for like in manifest.lrn_like:
        say.print(f"  LRN: {describe_lrn_like(like)}")
    preprocessing = manifest.preprocessing
    if preprocessing is not None:
        say.print(f"  preprocessing: {preprocessing.described}")
        if preprocessing.assumed:
            say.print(f"  {warn_assumed(preprocessing, output)}", style="yellow")


def describe_lrn(layer: LrnLayer) -> str:
    """One LRN layer in a sentence: its form, and the parameters if they had to be proven."""
    spec = layer.spec
    reason = f": {layer.reason}" if layer.reason else ""
    if layer.origin != "raised":
        return f"{layer.name} {layer.form}{reason}"
    return (
        f"1 layer, {layer.described_origin} at {layer.name}, size {spec.size}, "
        f"alpha {spec.alpha:g}, beta {spec.beta:g}, k {spec.k:g}, {layer.form}{reason}"
    )


def describe_lrn_like(item: LrnLike) -> str:
    """What looks like LRN and is none of the layers, in a sentence."""
    return f"{item.name} looks like one and stays as the network writes it: {item.reason}"


def warn_assumed(preprocessing: Preprocessing | None, bundle: Path | str) -> str:
    """The sentence about what nobody said, with the way out; empty if there is none to say."""
    if preprocessing is None or not preprocessing.assumed:
        return ""
    options = ", ".join(f"--{name}" for name in preprocessing.assumed)
    if preprocessing.in_graph:
        return f"{preprocessing.assumption}. To say it, export again with {options}."
    return f"{preprocessing.assumption}. To say it: lrn-deploy preprocess {bundle} with {options}."

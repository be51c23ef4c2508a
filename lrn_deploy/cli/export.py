"""``lrn-deploy export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrn_deploy.cli.options import bundle_output, parse_shape
from lrn_deploy.cli.output import emit, json_option, people


@click.command("export")
@click.argument("model")
@bundle_output
@click.option(
    "--weights",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A safetensors file or a PyTorch checkpoint; keys must match the network's.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of random weights.")
@click.option("--shape", callback=parse_shape, help="Shape of one input, C,H,W, for a factory.")
@click.option("--opset", default=18, show_default=True, help="ONNX opset, 18 to 20.")
@click.option(
    "--input",
    "input_kind",
    type=click.Choice(["float", "uint8"]),
    default="float",
    show_default=True,
    help="uint8: take images (N, H, W, C), with preprocessing inside the graph.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Text file with one class name in each line.",
)
@json_option
def command(
    model: str,
    output: Path,
    force: bool,
    weights: Path | None,
    seed: int,
    shape: tuple[int, ...] | None,
    opset: int,
    input_kind: str,
    labels: Path | None,
    as_json: bool,
) -> None:
    """Export a PyTorch network to a bundle with a standard ONNX graph.

    MODEL is a network that 'lrn-deploy models' lists, or package.module:factory or
    file.py:factory, where factory() returns a torch.nn.Module. Every LRN becomes one standard
    ONNX LRN node wherever that is right; elsewhere an equivalent is written out.

    \b
    Example:
      lrn-deploy export alexnet -o alexnet
      lrn-deploy export mynet.py:build --shape 3,224,224 --weights mynet.pt -o mynet
    """
    from lrn_deploy.export import ExportRequest, current_bundle, export_bundle

    request = ExportRequest(
        factory=model,
        weights=weights,
        seed=seed,
        input_shape=shape,
        opset=opset,
        uint8_input=input_kind == "uint8",
        labels=labels,
    )
    current = None if force else current_bundle(request, output)
    bundle = current or export_bundle(request, output, force=force)
    say = people(as_json)
    manifest = bundle.manifest
    if current is not None:
        say.print(f"{output} is up to date: same network, weights, options and tools.")
    else:
        size = manifest.artifact("model").size / 1e6
        say.print(f"Exported {manifest.model.name} to {output} (model.onnx, {size:.1f} MB).")
    say.print(f"  weights: {manifest.model.weights.note}")
    if not manifest.lrn_layers:
        say.print("  LRN: the network has none; everything else works the same")
    for layer in manifest.lrn_layers:
        reason = f": {layer.reason}" if layer.reason else ""
        say.print(f"  LRN: {layer.name} {layer.form}{reason}")
    if as_json:
        summary: dict[str, Any] = {"bundle": str(output), "reused": current is not None}
        emit(summary | {"manifest": manifest.model_dump(mode="json")})
    else:
        say.print(f"Next: lrn-deploy validate {output}")

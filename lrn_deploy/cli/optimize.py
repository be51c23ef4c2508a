"""``lrn-deploy optimize``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.options import bundle_argument
from lrn_deploy.cli.common.output import emit, json_option, people, progress


@click.command("optimize")
@bundle_argument
@click.option(
    "--target",
    type=click.Choice(["tensorrt", "cuda", "cpu", "openvino"]),
    required=True,
    help="What the graph is for.",
)
@click.option(
    "--precision",
    type=click.Choice(
        ["fp32", "fp16", "bf16", "int8", "int8-bf16", "w8", "w4", "int8-w8", "int8-w4"]
    ),
    required=True,
    help="What it computes in. Its inputs and outputs stay as they are.",
)
@click.option(
    "--quantizer",
    type=click.Choice(["own", "nncf"]),
    default="own",
    show_default=True,
    help="What makes int8 for cpu and openvino. NNCF is the extra 'quantize'.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images for int8. Default: images that fit the network.",
)
@click.option("--half-lrn", is_flag=True, help="Compute LRN in fp16 or bf16, too, not in fp32.")
@json_option
def command(
    bundle: Path,
    target: str,
    precision: str,
    quantizer: str,
    calibration: Path | None,
    half_lrn: bool,
    as_json: bool,
) -> None:
    """Make a variant of a bundle's graph for one target in one precision.

    The variant is an ONNX graph like the canonical one, so 'validate' checks it before any GPU is
    seen. LRN stays in fp32, with casts around it. For the CPU it is written in operators that ONNX
    Runtime runs several times as fast as its LRN. For OpenVINO int8-bf16 is int8 with the other
    layers in bf16.

    \b
    Example:
      lrn-deploy optimize alexnet --target cpu --precision fp32
      lrn-deploy optimize alexnet --target openvino --precision int8-bf16
      lrn-deploy optimize alexnet --target tensorrt --precision fp16
      lrn-deploy optimize alexnet --target tensorrt --precision int8 --calibration photos
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.workflows.optimize.optimize import optimize
    from lrn_deploy.workflows.optimize.options import OptimizeOptions
    from lrn_deploy.workflows.optimize.recipes import SOURCE, variant_name

    before = Bundle.open(bundle)
    with progress() as bar:
        task = bar.add_task("reading", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        options = OptimizeOptions(target, precision, quantizer, calibration, not half_lrn)
        after = optimize(before, options, on_progress)
    name = variant_name(target, precision, quantizer)
    artifact = after.manifest.artifact(name)
    say = people(as_json)
    if name == SOURCE:
        say.print(f"For {target} in fp32 the graph '{name}' is used as it is.")
    elif after is before:
        say.print(f"{name} is up to date: same graph, options and tools.")
    elif artifact.file == after.manifest.artifact(SOURCE).file:
        say.print(f"Made {name}: the graph '{SOURCE}', to be computed in {precision}; no new file.")
    else:
        say.print(f"Made {name}: {artifact.file}, {artifact.size / 1e6:.1f} MB.", markup=False)
    if "calibration" in artifact.options:
        say.print(f"  calibrated on: {artifact.options['calibration']}", markup=False)
    for weight, loss in artifact.options.get("lossy_weights", {}).items():
        say.print(f"  Warning: '{weight}' loses {loss:.1%} of its norm in {precision}.")
    for layer, reason in artifact.options.get("lrn_left_alone", {}).items():
        say.print(f"  LRN '{layer}' stays as it is: {reason}.", markup=False)
    if as_json:
        emit(
            {
                "bundle": str(bundle),
                "name": name,
                "reused": after is before,
                "artifact": artifact.model_dump(mode="json"),
            }
        )
    else:
        say.print(f"Next: lrn-deploy validate {bundle}", markup=False)

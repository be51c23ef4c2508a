"""``lrn-deploy optimize``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.cli.common.places import own_bundle
from lrn_deploy.workflows.optimize.options import OptimizeOptions


@click.command("optimize")
@own_bundle
@takes(OptimizeOptions)
@json_option
def command(bundle: Path, options: OptimizeOptions, as_json: bool) -> None:
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
    from lrn_deploy.placement import MODEL
    from lrn_deploy.workflows.optimize.optimize import optimize

    with progress("reading") as told:
        outcome = optimize(Bundle.open(bundle), options, told)
    name, artifact = outcome.name, outcome.artifact
    target, precision = options.target, options.precision
    say = people(as_json)
    if name == MODEL:
        say.print(f"For {target} in fp32 the graph '{name}' is used as it is.")
    elif outcome.reused:
        say.print(f"{name} is up to date: same graph, options and tools.")
    elif artifact.file == outcome.bundle.manifest.artifact(MODEL).file:
        say.print(f"Made {name}: the graph '{MODEL}', to be computed in {precision}; no new file.")
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
                "reused": outcome.reused,
                "artifact": artifact.model_dump(mode="json"),
            }
        )
    else:
        say.print(f"Next: lrn-deploy validate {bundle}", markup=False)

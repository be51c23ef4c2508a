"""``lrn-deploy build-engine``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrn_deploy.cli.common.options import bundle_argument, parse_bytes
from lrn_deploy.cli.common.output import emit, json_option, people, progress

if TYPE_CHECKING:
    pass


def _parse_batch(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, int, int]:
    """Callback of ``--batch MIN,OPT,MAX``; the order is the library's business."""
    parts = value.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"'{value}' is no profile; write 1,8,32 for instance.")
    low, best, high = (int(part) for part in parts)
    return low, best, high


@click.command("build-engine")
@bundle_argument
@click.option(
    "--flavor",
    type=click.Choice(["auto", "tensorrt", "rtx"]),
    default="auto",
    show_default=True,
    help="Which TensorRT; rtx builds without a GPU.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "fp16", "bf16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16, bf16 and int8 build the variant of 'optimize --target tensorrt'.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="SM|current|portable",
    help="GPU to build for, sm89 for instance; may be repeated for one engine for several. "
    "portable: leave the choice to tensorrt-rtx. "
    "Default: this machine's GPU; without one, sm86, sm89 and sm120.",
)
@click.option(
    "--batch",
    default="1,8,32",
    show_default=True,
    metavar="MIN,OPT,MAX",
    callback=_parse_batch,
    help="Smallest, best and largest batch of the engine.",
)
@click.option(
    "--workspace",
    metavar="SIZE",
    callback=parse_bytes,
    help="Limit of scratch GPU memory, 4G for instance. Default: the builder's own.",
)
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of measurements to start from and to write back (tensorrt only).",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images for int8. Default: two photographs that scikit-learn brings, or the "
    "digits that the zoo's digit networks were trained on.",
)
@click.option(
    "--allow-other-types",
    is_flag=True,
    help="Keep an engine whose layers compute in other types than its graph's (known on a GPU).",
)
@click.option(
    "--plugins",
    type=click.Choice(["auto", "off"]),
    default="off",
    show_default=True,
    help="auto: LRN with ReLU and pool in one kernel of ours (tensorrt only; not run yet).",
)
@click.option(
    "--lrn",
    type=click.Choice(["auto", "layer"]),
    default="auto",
    show_default=True,
    help="layer: leave LRN to TensorRT's own layer, which in rtx is slow; auto: not there.",
)
@json_option
@click.pass_obj
def command(
    settings: dict[str, bool],
    bundle: Path,
    flavor: Any,
    precision: Any,
    targets: tuple[str, ...],
    batch: tuple[int, int, int],
    workspace: int | None,
    timing_cache: Path | None,
    calibration: Path | None,
    allow_other_types: bool,
    plugins: Any,
    lrn: Any,
    as_json: bool,
) -> None:
    """Build a TensorRT engine of a bundle.

    The engine is built, hashed and recorded with all that it fits; building needs no GPU with
    tensorrt-rtx, running it does.

    \b
    Example:
      lrn-deploy build-engine alexnet --precision fp16 --target sm89
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.report.console.engine import describe_engine
    from lrn_deploy.workflows.build_engine.build_engine import build_bundle_engine
    from lrn_deploy.workflows.build_engine.options import EngineRequest

    if settings["debug"]:
        logger = logging.getLogger("lrn_deploy.tensorrt")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(logging.StreamHandler())
    request = EngineRequest(
        flavor=flavor,
        precision=precision,
        targets=tuple(dict.fromkeys(targets)),
        batch=batch,
        workspace=workspace,
        timing_cache=timing_cache,
        calibration=calibration,
        allow_other_types=allow_other_types,
        plugins=plugins,
        lrn=lrn,
    )
    with progress() as bar:
        task = bar.add_task("Building", total=None)

        def on_progress(phase: str, done: int, total: int) -> None:
            bar.update(task, description=phase, completed=done, total=total)

        result = build_bundle_engine(Bundle.open(bundle), request, on_progress)
    artifact = result.bundle.manifest.artifact(result.name)
    say = people(as_json)
    if result.reused:
        say.print(f"{result.name} is up to date: same graph, options and tools.")
    for line in describe_engine(result.name, artifact):
        say.print(line, markup=False)
    if as_json:
        emit(
            {
                "bundle": str(bundle),
                "name": result.name,
                "reused": result.reused,
                "artifact": artifact.model_dump(mode="json"),
            }
        )

"""``lrn-deploy build-engine``."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.cli.common.places import own_bundle
from lrn_deploy.workflows.build_engine.options import EngineOptions


@click.command("build-engine")
@own_bundle
@takes(EngineOptions)
@json_option
@click.pass_obj
def command(settings: dict[str, bool], bundle: Path, options: EngineOptions, as_json: bool) -> None:
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

    if settings["debug"]:
        logger = logging.getLogger("lrn_deploy.tensorrt")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(logging.StreamHandler())
    with progress("Building") as told:
        outcome = build_bundle_engine(Bundle.open(bundle), options, told)
    say = people(as_json)
    if outcome.reused:
        say.print(f"{outcome.name} is up to date: same graph, options and tools.")
    for line in describe_engine(outcome.name, outcome.artifact):
        say.print(line, markup=False)
    if as_json:
        emit(
            {
                "bundle": str(bundle),
                "name": outcome.name,
                "reused": outcome.reused,
                "artifact": outcome.artifact.model_dump(mode="json"),
            }
        )

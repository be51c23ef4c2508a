"""``lrn-deploy deploy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lrn_deploy.cli.common.options import export_options, export_request
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.errors import CHECK_FAILED, DONE


@click.command("deploy")
@export_options
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "fp16", "bf16", "int8"]),
    default="fp32",
    show_default=True,
    help="Precision of the TensorRT engine.",
)
@click.option("--target", "targets", multiple=True, help="GPU of the engine, as in 'build-engine'.")
@click.option("--no-engine", is_flag=True, help="Build no TensorRT engine.")
@json_option
def command(
    output: Path,
    force: bool,
    precision: Any,
    targets: tuple[str, ...],
    no_engine: bool,
    as_json: bool,
    **network: Any,
) -> int:
    """Take a network to a checked bundle: export, build an engine, validate.

    A stage whose result the bundle holds already is not done again. Without TensorRT the engine
    is left out, and said so. Exits with 1 if an artifact is over its error budget.

    \b
    Example:
      lrn-deploy deploy digits -o digits
      lrn-deploy deploy alexnet -o alexnet --precision fp16 --target sm89
    """
    from lrn_deploy.report.console.engine import describe_engine
    from lrn_deploy.report.console.export import describe_export
    from lrn_deploy.report.console.parity import print_parity
    from lrn_deploy.workflows.build_engine.options import EngineRequest
    from lrn_deploy.workflows.deploy import DeployOptions, deploy

    engine = None if no_engine else EngineRequest(precision=precision, targets=targets)
    options = DeployOptions(export=export_request(**network), engine=engine, force=force)
    with progress() as bar:
        task = bar.add_task("export", total=None)

        def on_stage(name: str) -> None:
            bar.reset(task, description=name, total=None)

        def on_step(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        result = deploy(options, output, on_stage, on_step)
    say = people(as_json)
    describe_export(say, result.bundle.manifest, output, reused=result.export_reused)
    if result.engine is not None:
        name = result.engine.name
        artifact = result.bundle.manifest.artifact(name)
        if result.engine.reused:
            say.print(f"{name} is up to date: same graph, options and tools.")
        for line in describe_engine(name, artifact):
            say.print(line)
    else:
        say.print(f"No TensorRT engine: {result.no_engine}")
    print_parity(say, result.report)
    if as_json:
        emit(
            {
                "bundle": str(output),
                "export_reused": result.export_reused,
                "engine": result.engine.name if result.engine else None,
                "no_engine": result.no_engine,
                "parity": result.report.model_dump(mode="json"),
            }
        )
    else:
        say.print(f"Next: lrn-deploy classify {output} IMAGE...")
    return DONE if result.report.verdict == "pass" else CHECK_FAILED

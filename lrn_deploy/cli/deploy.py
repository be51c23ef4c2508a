"""``lrn-deploy deploy``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

from lrn_deploy.cli.common.import_options import (
    import_request,
    mean_file_option,
    stage_option,
)
from lrn_deploy.cli.common.options import export_options, export_request
from lrn_deploy.cli.common.output import bar, emit, json_option, people
from lrn_deploy.errors import CHECK_FAILED, DONE, BadInputError
from lrn_deploy.precision import EnginePrecision

if TYPE_CHECKING:
    from lrn_deploy.export import ExportRequest
    from lrn_deploy.workflows.import_network.options import ImportRequest

_FILES = (".onnx", ".prototxt", ".caffemodel")
_FOR_EXPORT = {"weights": "weights", "seed": "seed", "opset": "opset", "input_kind": "input"}
"""Parameters that an imported network does not take, by the names of their options."""
_FOR_CAFFE = {"mean_file": "mean-file", "stages": "stage"}
"""Those that only a network of Caffe's takes."""


@click.command("deploy")
@export_options
@click.argument("more", nargs=-1, metavar="[FILE]", type=click.Path(path_type=Path, dir_okay=False))
@mean_file_option
@stage_option
@click.option(
    "--precision",
    type=click.Choice(get_args(EnginePrecision)),
    default="fp32",
    show_default=True,
    help="Precision of the TensorRT engine.",
)
@click.option("--target", "targets", multiple=True, help="GPU of the engine, as in 'build-engine'.")
@click.option("--no-engine", is_flag=True, help="Build no TensorRT engine.")
@json_option
def command(
    model: str,
    more: tuple[Path, ...],
    output: Path,
    force: bool,
    mean_file: Path | None,
    stages: tuple[str, ...],
    precision: Any,
    targets: tuple[str, ...],
    no_engine: bool,
    as_json: bool,
    **network: Any,
) -> int:
    """Take a network to a checked bundle: export or import, build an engine, validate.

    MODEL is a network as 'export' takes it; or an ONNX file, or the prototxt and the caffemodel of
    a network of Caffe's, as 'import' takes them.

    A stage whose result the bundle holds already is not done again. Without TensorRT the engine
    is left out, and said so. Exits with 1 if an artifact is over its error budget.

    \b
    Example:
      lrn-deploy deploy digits -o digits
      lrn-deploy deploy alexnet -o alexnet --precision fp16 --target sm89
      lrn-deploy deploy net.onnx -o net
      lrn-deploy deploy deploy.prototxt net.caffemodel --mean-file mean.binaryproto -o net
    """
    from lrn_deploy.report.console.engine import describe_engine
    from lrn_deploy.report.console.export import describe_export
    from lrn_deploy.report.console.imported import describe_import
    from lrn_deploy.report.console.parity import print_parity
    from lrn_deploy.workflows.build_engine.options import EngineOptions
    from lrn_deploy.workflows.deploy import DeployOptions, deploy

    engine = None if no_engine else EngineOptions(precision=precision, targets=targets)
    network |= {"mean_file": mean_file, "stages": stages}
    source = _source(click.get_current_context(), model, more, network)
    options = DeployOptions(source, engine=engine, force=force)
    with bar() as shown:
        task = shown.add_task("reading", total=None)

        def on_stage(name: str) -> None:
            shown.reset(task, description=name, total=None)

        def on_step(what: str, done: int, total: int) -> None:
            shown.update(task, description=what, completed=done, total=total)

        result = deploy(options, output, on_stage, on_step)
    say = people(as_json)
    if result.imported is None:
        describe_export(say, result.bundle.manifest, output, reused=result.reused)
    else:
        read = result.imported
        describe_import(say, result.bundle.manifest, read.lrn, read.told, output)
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
                "reused": result.reused,
                "engine": result.engine.name if result.engine else None,
                "no_engine": result.no_engine,
                "parity": result.report.model_dump(mode="json"),
            }
        )
    else:
        say.print(f"Next: lrn-deploy classify {output} IMAGE...")
    return DONE if result.report.verdict == "pass" else CHECK_FAILED


def _source(
    context: click.Context,
    model: str,
    more: tuple[Path, ...],
    options: dict[str, Any],
) -> ExportRequest | ImportRequest:
    """What is to be exported, or imported where files are given.

    Raises:
        BadInputError: If options are given that belong to the other.
    """
    files = more or Path(model).suffix.lower() in _FILES
    foreign = _FOR_EXPORT if files else _FOR_CAFFE
    for name, flag in foreign.items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise BadInputError(
                f"--{flag} does not go with {model}.",
                "It is for a network that is exported."
                if files
                else "It is for a network of Caffe's.",
            )
    kept = {name: value for name, value in options.items() if name not in foreign}
    if not files:
        return export_request(model=model, **kept)
    return import_request((Path(model), *more), **kept)

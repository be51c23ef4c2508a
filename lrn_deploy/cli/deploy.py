"""``lrn-deploy deploy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lrn_deploy.cli.common.fields import field_options, made_of
from lrn_deploy.cli.common.options import bundle_output
from lrn_deploy.cli.common.output import bar, emit, json_option, people
from lrn_deploy.errors import CHECK_FAILED, DONE, BadInputError
from lrn_deploy.export.options import ExportOptions
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.import_network.options import ImportOptions

_FILES = (".onnx", ".prototxt", ".caffemodel")
_FOR_EXPORT = {"weights": "weights", "seed": "seed", "opset": "opset", "uint8_input": "input"}
"""Fields that an imported network does not take, and the names of their options."""
_FOR_CAFFE = {"mean": "mean-file", "stages": "stage"}
"""Those that only a network of Caffe's takes."""


@click.command("deploy")
@bundle_output
@field_options(ExportOptions)
@click.argument("more", nargs=-1, metavar="[FILE]", type=click.Path(path_type=Path, dir_okay=False))
@field_options(ImportOptions, only={"mean": "", "stages": ""})
@field_options(
    EngineOptions,
    only={
        "precision": "Precision of the TensorRT engine.",
        "targets": "GPU of the engine, as in 'build-engine'.",
    },
)
@click.option("--no-engine", is_flag=True, help="Build no TensorRT engine.")
@json_option
def command(
    more: tuple[Path, ...],
    output: Path,
    force: bool,
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
    from lrn_deploy.workflows.deploy import DeployOptions, deploy

    engine = None if no_engine else EngineOptions(precision=precision, targets=targets)
    source = _source(click.get_current_context(), more, network)
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
    context: click.Context, more: tuple[Path, ...], values: dict[str, Any]
) -> ExportOptions | ImportOptions:
    """What is to be exported, or imported where files are given.

    Raises:
        BadInputError: If options are given that belong to the other, or several shapes for files.
    """
    model = values["factory"]
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
    if not files:
        return made_of(ExportOptions, values)
    shapes = [spec.shape[1:] for spec in values["inputs"]]
    if len(shapes) > 1:
        raise BadInputError("--shape is given more than once.", "Only the first input takes it.")
    of_files = {"files": (Path(model), *more), "input_shape": next(iter(shapes), None)}
    return made_of(ImportOptions, values | of_files)

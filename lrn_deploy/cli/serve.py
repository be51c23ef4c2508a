"""``lrn-deploy serve``, the same as ``lrn-server``."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click

from lrn_deploy import __version__
from lrn_deploy.cli.common.fields import field_options, made_of
from lrn_deploy.cli.common.output import emit, json_option
from lrn_deploy.serving.settings import ModelSettings, ServerSettings

_VARIABLES = "LRN_SERVER"
"""What the names of the environment's variables begin with."""


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make the values of a TOML file the options' defaults."""
    if path is None:
        return
    import tomllib

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"'{path}' cannot be read as TOML: {error}") from error
    known = {field.name for group in (ModelSettings, ServerSettings) for field in fields(group)}
    unknown = sorted(set(values) - known - {"bundles"})
    if unknown:
        raise click.BadParameter(
            f"'{path}' sets {', '.join(unknown)}, which is no setting; "
            "'lrn-server --print-config' prints all of them.",
            ctx,
            param,
        )
    ctx.default_map = values


@click.command("serve")
@click.argument("bundles", nargs=-1, metavar="BUNDLE...", envvar=f"{_VARIABLES}_BUNDLES")
@field_options(ModelSettings, _VARIABLES)
@field_options(ServerSettings, _VARIABLES)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    envvar=f"{_VARIABLES}_CONFIG",
    help="TOML file with settings; options and the environment win over it.",
)
@click.option(
    "--supervise/--no-supervise",
    default=None,
    help="Start the server again when it has died or is not live; the default in the binary.",
)
@click.option("--print-config", is_flag=True, help="Print all settings as TOML, and end.")
@click.version_option(__version__, prog_name="lrn-server")
@json_option
def command(
    bundles: tuple[str, ...],
    supervise: bool | None,
    print_config: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Answer requests with the networks of bundles, by the Open Inference Protocol.

    'lrn-server' and 'lrn-deploy serve' are the same.

    BUNDLE is a folder, or NAME=FOLDER to serve it under another name, or FOLDER:ARTIFACT to run
    one of its artifacts instead of what suits the machine. Each option can also be set in the
    environment (LRN_SERVER_HTTP_PORT) or in a TOML file (http_port).

    \b
    Example:
      lrn-deploy serve alexnet
      curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/classify
      lrn-server alexnet faces=old/faces --host 0.0.0.0 --pre-drain-seconds 5
    """
    model, server = made_of(ModelSettings, options), made_of(ServerSettings, options)
    if print_config:
        click.echo(_toml({"bundles": list(bundles), **options}))
        return 0
    if not bundles:
        raise click.UsageError("Missing argument 'BUNDLE...'.")
    from lrn_deploy.serving import supervise as parent
    from lrn_deploy.serving.telemetry.stderr import never_waiting

    say = partial(click.echo, err=True)
    on_ready = emit if as_json else None
    if parent.frozen() if supervise is None else supervise:
        with never_waiting():
            return parent.supervise(bundles, model, server, say=say, on_ready=on_ready)
    from lrn_deploy.serving.server import serve

    def ready(ports: dict[str, Any]) -> None:
        parent.report(ports)
        if as_json:
            emit(ports)

    with never_waiting():
        return serve([_named(text) for text in bundles], model, server, say=say, on_ready=ready)


def _named(text: str) -> tuple[str, Path, str]:
    """NAME=FOLDER:ARTIFACT in its parts; a folder that is there is taken as it is."""
    if Path(text).exists():  # even with a = or a : in it
        return "", Path(text), ""
    name, equals, place = text.partition("=")
    if not (equals and name):
        name, place = "", text
    folder, colon, artifact = place.rpartition(":")
    if colon and folder and not Path(place).exists():
        return name, Path(folder), artifact
    return name, Path(place), ""


def _toml(values: dict[str, Any]) -> str:
    """Flat settings as TOML, whose strings, numbers, booleans and arrays look as JSON's do."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())

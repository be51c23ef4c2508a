"""``lrn-deploy serve``, the same as ``lrn-server``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click

from lrn_deploy import __version__
from lrn_deploy.cli.common.fields import field_options, made_of
from lrn_deploy.cli.common.output import emit, json_option
from lrn_deploy.cli.common.places import fetched
from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.package.inside import bundles_inside
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from lrn_deploy.stores.place import is_url, split_served

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
    groups = (ModelSettings, ServerSettings, RayOptions)
    known = {field.name for group in groups for field in fields(group)}
    unknown = sorted(set(values) - known - {"bundles", "engine"})
    if unknown:
        raise click.BadParameter(
            f"'{path}' sets {', '.join(unknown)}, which is no setting; "
            "'lrn-server --print-config' prints all of them.",
            ctx,
            param,
        )
    ctx.default_map = {**(ctx.default_map or {}), **values}


@click.command("serve")
@click.argument("bundles", nargs=-1, metavar="BUNDLE...", envvar=f"{_VARIABLES}_BUNDLES")
@field_options(ModelSettings, _VARIABLES)
@field_options(ServerSettings, _VARIABLES)
@click.option(
    "--engine",
    type=click.Choice(["own", "ray"]),
    default="own",
    show_default=True,
    envvar=f"{_VARIABLES}_ENGINE",
    help="ray runs replicas of the server on Ray Serve; see docs/ray.md.",
)
@field_options(RayOptions, _VARIABLES)
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
@click.option(
    "--print-config",
    is_flag=True,
    help="Print all settings as TOML, and end; with --engine ray what 'serve deploy' takes.",
)
@click.version_option(__version__, prog_name="lrn-server")
@json_option
def command(
    bundles: tuple[str, ...],
    engine: str,
    supervise: bool | None,
    print_config: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Answer requests with the networks of bundles, by the Open Inference Protocol.

    'lrn-server' and 'lrn-deploy serve' are the same.

    BUNDLE is a folder or a URL such as s3://models/alexnet, or NAME=BUNDLE to serve it under
    another name, or BUNDLE:ARTIFACT to run one of its artifacts instead of what suits the machine.
    Each option can also be set in the environment (LRN_SERVER_HTTP_PORT) or in a TOML file
    (http_port).

    \b
    Example:
      lrn-deploy serve alexnet
      curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/classify
      lrn-server alexnet faces=old/faces --host 0.0.0.0 --pre-drain-seconds 5
    """
    model, server = made_of(ModelSettings, options), made_of(ServerSettings, options)
    if print_config and engine == "own":
        click.echo(_toml({"bundles": list(bundles), "engine": engine, **options}))
        return 0
    bundles = bundles or bundles_inside()
    if not bundles:
        raise click.UsageError("Missing argument 'BUNDLE...'.")
    if engine == "ray":
        if supervise:
            raise click.UsageError("--supervise is not possible with --engine ray, which does it.")
        return _on_ray(bundles, model, server, options, print_config, as_json)
    from lrn_deploy.serving import supervise as parent
    from lrn_deploy.serving.telemetry.stderr import never_waiting

    say = partial(click.echo, err=True)
    on_ready = emit if as_json else None
    served = _located([_named(text) for text in bundles], say)
    if parent.frozen() if supervise is None else supervise:
        again = [_written(*one) for one in served]  # what was fetched is not asked for again
        with never_waiting():
            return parent.supervise(again, model, server, say=say, on_ready=on_ready)
    from lrn_deploy.serving.server import serve

    def ready(ports: dict[str, Any]) -> None:
        parent.report(ports)
        if as_json:
            emit(ports)

    with never_waiting():
        return serve(served, model, server, say=say, on_ready=ready)


def _on_ray(
    bundles: tuple[str, ...],
    model: ModelSettings,
    server: ServerSettings,
    options: dict[str, Any],
    print_config: bool,
    as_json: bool,
) -> int:
    """Serve by replicas on Ray, or print what Ray's own ``serve deploy`` takes."""
    from lrn_deploy.cluster import runtime

    runtime.need("serve")  # and what the next imports need, before them
    replicas = made_of(RayOptions, options)
    named = [_named(text) for text in bundles]
    if print_config:
        from lrn_deploy.cluster.serve.config import config

        click.echo(config(named, model, server, replicas), nl=False)
        return 0
    from lrn_deploy.cluster.serve.server import serve_on_ray

    say = partial(click.echo, err=True)
    return serve_on_ray(named, model, server, replicas, say=say, on_ready=emit if as_json else None)


def _named(text: str) -> tuple[str, str, str]:
    """NAME=PLACE:ARTIFACT in its parts; a folder that is there is taken as it is."""
    if Path(text).exists():  # even with a = or a : in it
        return "", text, ""
    name, place, artifact = split_served(text)
    if is_url(place):
        return name, place, artifact
    name, equals, place = text.partition("=")
    if not (equals and name):
        name, place = "", text
    folder, colon, artifact = place.rpartition(":")
    if colon and folder and not Path(place).exists():
        return name, folder, artifact
    return name, place, ""


def _located(
    named: list[tuple[str, str, str]], say: Callable[[str], None]
) -> list[tuple[str, Path, str]]:
    """The folders of what is to be served; one that cannot be fetched does not stop the others."""
    found = []
    failure: LrnDeployError | None = None
    for name, place, artifact in named:
        try:
            found.append((name, fetched(place), artifact))
        except LrnDeployError as error:
            failure = error
            if len(named) > 1:
                say(f"Error: {error.message}")
    if failure is not None and not found:
        raise failure
    return found


def _written(name: str, folder: Path, artifact: str) -> str:
    """What :func:`_named` reads as these."""
    return "".join((f"{name}=" if name else "", str(folder), f":{artifact}" if artifact else ""))


def _toml(values: dict[str, Any]) -> str:
    """Flat settings as TOML, whose strings, numbers, booleans and arrays look as JSON's do."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())

"""``lrn-deploy keys``: who may ask a server for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrn_deploy.cli.common.output import emit, json_option, people

if TYPE_CHECKING:
    from lrn_deploy.serving.security.keys import Key
    from lrn_deploy.serving.security.scopes import Scope

_FILE = click.Path(path_type=Path, dir_okay=False)
_SCOPES = ("infer", "read", "control")
_MEANINGS = (
    "infer: run networks; read: metadata, statistics and metrics; control: load and unload models "
    "and register shared memory. May be repeated."
)


@click.group("keys", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Add, revoke and list the API keys of a server.

    A key is shown once, when it is added; FILE has its SHA-256 only. A server that runs with
    'lrn-server --keys FILE' takes up each change within a second. Each command has --json.

    \b
    Example:
      lrn-deploy keys add server-keys.json shop
      lrn-deploy keys list server-keys.json
      lrn-deploy keys revoke server-keys.json shop
    """


@command.command()
@click.argument("file", type=_FILE)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_SCOPES),
    default=("infer", "read"),
    show_default=True,
    help=_MEANINGS,
)
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second that it may be used for; any number if left out.",
)
@json_option
def add(
    file: Path, name: str, scopes: tuple[Scope, ...], limit: float | None, as_json: bool
) -> None:
    """Make a key called NAME, and print it: the only time that it can be seen."""
    from lrn_deploy.serving.security import keys

    text, key = keys.add(file, name, scopes, limit)
    if as_json:
        emit({"key": text, **_record(key)})
        return
    click.echo(
        f"'{file}' has the key '{name}' for {' and '.join(key.scopes)}. Keep it now; it is not "
        "shown again:",
        err=True,
    )
    click.echo(text)


@command.command()
@click.argument("file", type=_FILE)
@click.argument("name")
@json_option
def revoke(file: Path, name: str, as_json: bool) -> None:
    """Let the key called NAME be taken no more."""
    from lrn_deploy.serving.security import keys

    key = keys.revoke(file, name)
    if as_json:
        emit(_record(key))
        return
    click.echo(f"The key '{name}' of '{file}' is revoked.")


@command.command("list")
@click.argument("file", type=_FILE)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show the keys of FILE, revoked ones too."""
    from rich.table import Table

    from lrn_deploy.serving.security import keys

    found = keys.read(file)
    if as_json:
        emit([_record(key) for key in found])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "scopes", "requests a second", "created", "revoked"):
        table.add_column(column, justify="right" if column.startswith("requests") else "left")
    for key in found:
        table.add_row(
            key.name,
            ", ".join(key.scopes),
            "any number" if key.limit is None else f"{key.limit:g}",
            f"{key.created:%Y-%m-%d %H:%M}",
            "" if key.revoked is None else f"{key.revoked:%Y-%m-%d %H:%M}",
        )
    people(as_json).print(table)


def _record(key: Key) -> dict[str, object]:
    """What is told of a key; not its digest, which nobody needs."""
    return key.model_dump(mode="json", exclude={"sha256"})

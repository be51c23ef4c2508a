"""``lrn-deploy pull``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.places import told_on_stderr


@click.command("pull")
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a bundle that is in FOLDER.")
@json_option
def command(url: str, folder: Path, force: bool, as_json: bool) -> None:
    """Copy the bundle at URL to FOLDER, checked, where commands can add to it.

    What only reads a bundle takes URL itself.

    \b
    Example:
      lrn-deploy pull s3://models/alexnet alexnet
    """
    from lrn_deploy.stores import pull

    with told_on_stderr("asking the store") as told:
        bundle = pull(url, folder, force=force, progress=told)
    people(as_json).print(f"{bundle.manifest.model.name} in {folder}")
    if as_json:
        emit({"bundle": str(folder), "model": bundle.manifest.model.name})

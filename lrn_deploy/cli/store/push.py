"""``lrn-deploy push``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.places import own_bundle, told_on_stderr


@click.command("push")
@own_bundle
@click.argument("url")
@click.option("--force", is_flag=True, help="Replace another bundle that is there.")
@json_option
def command(bundle: Path, url: str, force: bool, as_json: bool) -> None:
    """Copy a bundle to URL, an object store's for instance.

    Its files are sent first and its manifest last, so that a server finds all of it or nothing.
    What is printed at the end is URL with the manifest's digest: who serves that gets this very
    bundle, or an error.

    \b
    Example:
      lrn-deploy push alexnet s3://models/alexnet
    """
    from lrn_deploy.stores import push

    with told_on_stderr("checking the bundle") as told:
        pushed = push(bundle, url, force=force, progress=told)
    say = people(as_json)
    if pushed.files:
        say.print(f"Sent {pushed.files} files, {pushed.size / 1e6:.2f} MB.")
    else:
        say.print("It is there already; nothing was sent.")
    say.print(f"Now serve it: lrn-deploy serve {pushed.pinned}")
    if as_json:
        emit(asdict(pushed) | {"pinned": pushed.pinned})

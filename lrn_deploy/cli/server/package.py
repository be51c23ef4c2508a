"""``lrn-deploy package``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrn_deploy.cli.common.fields import field_options, made_of
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.cli.common.places import fetched
from lrn_deploy.errors import CHECK_FAILED, DAMAGED, DONE
from lrn_deploy.package.options import TARGETS, PackageOptions

if TYPE_CHECKING:
    from lrn_deploy.package.check import Checked

_MORE = {field.name: "" for field in fields(PackageOptions) if field.name != "to"}


@click.command("package")
@click.argument("bundle", required=False)
@click.option("--to", type=click.Choice(TARGETS), help="What it is for.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Folder of the package to make; for binary the file.",
)
@click.option("--force", is_flag=True, help="Replace the package that is there.")
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path),
    metavar="PACKAGE",
    help="Make nothing, but tell what of a package was changed, and whether its BUNDLE was.",
)
@field_options(PackageOptions, only=_MORE)
@json_option
def command(
    bundle: str | None,
    to: str | None,
    output: Path | None,
    force: bool,
    checked: Path | None,
    as_json: bool,
    **values: Any,
) -> int:
    """Make a bundle ready for where it is to run.

    \b
    triton     a model repository of NVIDIA's Triton, with an ensemble that takes image files
    kserve     a ServingRuntime and an InferenceService of KServe
    helm       a chart that runs lrn-server in a cluster
    container  a folder that builds an image of lrn-server with the bundle
    systemd    a unit of lrn-server, its settings and what installs both
    binary     lrn-server as one program that carries the bundle

    Asked for the same again, it says so and writes nothing. With --check it exits with 4 if a file
    of the package was changed, and with 1 if the bundle answers otherwise since.

    \b
    Example:
      lrn-deploy package alexnet --to triton -o alexnet-triton
      lrn-deploy package alexnet --to triton --triton-backend python -o alexnet-python
      lrn-deploy package alexnet --to systemd -o alexnet-systemd
      lrn-deploy package --check alexnet-triton
      lrn-deploy package alexnet --check alexnet-triton
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.package.check import check
    from lrn_deploy.package.package import package

    if checked is not None:
        if to is not None or output is not None:
            raise click.UsageError("--check makes nothing, so it takes no --to and no --output.")
        found = check(checked, None if bundle is None else Bundle.open(fetched(bundle)))
        return _tell(found, checked, bundle, as_json=as_json)
    if bundle is None or to is None or output is None:
        named = {"argument 'BUNDLE'": bundle, "option '--to'": to, "option '-o'": output}
        missing = [name for name, value in named.items() if value is None]
        raise click.UsageError(f"Missing {' and '.join(missing)}.")
    options = made_of(PackageOptions, {**values, "to": to})
    opened = Bundle.open(fetched(bundle))
    with progress("reading") as told:
        made = package(opened, output, options, told, force=force)
    say = people(as_json)
    record = made.record
    if made.reused:
        say.print(f"'{output}' is up to date: same bundle, options and lrn-deploy.", markup=False)
    else:
        count = f"{len(record.files)} file{'s' * (len(record.files) != 1)}"
        say.print(f"Made '{output}' for {record.target}: '{record.name}', {count}.", markup=False)
    for note in made.notes:
        say.print(note, markup=False)
    if as_json:
        emit(
            {
                "bundle": bundle,
                "package": str(output),
                "reused": made.reused,
                "notes": list(made.notes),
                "record": record.model_dump(mode="json"),
            }
        )
    return DONE


def _tell(found: Checked, package: Path, bundle: str | None, *, as_json: bool) -> int:
    """What became of a package, and the exit code for it."""
    say = people(as_json)
    for file, how in found.files.items():
        say.print(f"{how}: {file}", markup=False)
    if found.files:
        say.print(f"'{package}' is not what was packaged.", markup=False)
    else:
        say.print(
            f"'{package}' is what was packaged: {len(found.record.files)} files.", markup=False
        )
    if found.parts:
        parts = " and ".join(found.parts)
        say.print(f"The {parts} of '{bundle}' changed since: package it again.", markup=False)
    elif bundle is not None:
        rest = ", though other things in it" if found.rest else ""
        say.print(f"'{bundle}' answers as it did when it was packaged{rest}.", markup=False)
    if as_json:
        emit(
            {
                "package": str(package),
                "files": found.files,
                "bundle": bundle,
                "changed_parts": list(found.parts),
                "manifest_changed": found.rest,
            }
        )
    if found.files:
        return DAMAGED
    return CHECK_FAILED if found.parts else DONE

"""``lrn-deploy report``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.places import own_bundle


@click.command("report")
@own_bundle
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write the page. Default: reports/report.html in the bundle.",
)
@json_option
def command(bundle: Path, output: Path | None, as_json: bool) -> None:
    """Draw a bundle's reports as one HTML page that needs no other file.

    Shows what 'validate', 'profile' and 'tune' wrote: verdict, artifacts, errors against their
    budgets, LRN layers, latencies, throughput, time by layer, and what was chosen among what.
    Nothing is run or measured; draw it again at any time. Exits with 2 if there is no report.
    BUNDLE may also be a file that 'load' wrote, whose page is then written beside it.

    \b
    Example:
      lrn-deploy report alexnet
      lrn-deploy report alexnet -o alexnet.html
    """
    from lrn_deploy.bundle import Bundle, write_atomic
    from lrn_deploy.report.page.answers import state
    from lrn_deploy.report.page.page import FILE, render
    from lrn_deploy.report.source import read_source

    if bundle.is_file():
        page = output or bundle.with_suffix(".html")
        _draw_load(bundle, page)
        people(as_json).print(f"Page: {page}")
        if as_json:
            emit({"page": str(page)})
        return
    opened = Bundle.open(bundle)
    source = read_source(opened)
    page = output or bundle / FILE
    write_atomic(page, render(source).encode())
    missing = [
        name
        for name, report in (
            ("validate", source.parity),
            ("profile", source.latency),
            ("tune", source.tune),
        )
        if report is None
    ]
    say = people(as_json)
    say.print(f"Page: {page}")
    for name in missing:
        say.print(f"Without what 'lrn-deploy {name} {bundle}' would add.")
    if as_json:
        emit({"page": str(page), "state": state(source), "missing": missing})


def _draw_load(file: Path, page: Path) -> None:
    from lrn_deploy.bundle import write_atomic
    from lrn_deploy.report.load.page import read_load, render

    write_atomic(page, render(read_load(file)).encode())

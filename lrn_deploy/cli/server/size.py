"""``lrn-deploy size``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people
from lrn_deploy.cli.common.places import any_bundle
from lrn_deploy.sizing.options import SizeOptions


@click.command("size")
@any_bundle
@takes(SizeOptions)
@json_option
def command(bundle: Path, options: SizeOptions, as_json: bool) -> None:
    """Tell how many machines a rate of requests takes within an objective.

    A queueing model of the server's own batching is fed with the times that 'profile' measured, of
    this machine or of another, a GPU's for instance. Nothing is run. Also told: the highest rate
    of a replica, what bounds a machine (processor, GPU or network card), machines for a million
    requests a second, what they cost at your price, and every assumption.

    \b
    Example:
      lrn-deploy size alexnet --rate 200 --slo-ms 150
      lrn-deploy size alexnet --rate 50000 --slo-ms 20 --profile gpu.json --price 4.5
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.report.console.size import print_size
    from lrn_deploy.sizing.size import size

    report = size(Bundle.open(bundle), options)
    print_size(people(as_json), report)
    if as_json:
        emit(report)

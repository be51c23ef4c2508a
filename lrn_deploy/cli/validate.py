"""``lrn-deploy validate``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.cli.common.places import copied_bundle, kept
from lrn_deploy.errors import CHECK_FAILED, DONE
from lrn_deploy.workflows.validate.options import ValidateOptions


@click.command("validate")
@copied_bundle
@takes(ValidateOptions)
@json_option
@click.pass_context
def command(ctx: click.Context, bundle: Path, options: ValidateOptions, as_json: bool) -> None:
    """Compare every artifact of a bundle with the network in PyTorch.

    Runs each artifact on every backend that is here, on photographs, random and extreme inputs,
    and on inputs scaled until LRN acts; runs each LRN layer alone against its definition in
    float64; and writes reports/parity.json. Exits with 1 if an error is over its budget.

    \b
    Example:
      lrn-deploy validate alexnet
      lrn-deploy validate alexnet --images photos --layerwise
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.report.console.parity import print_parity
    from lrn_deploy.workflows.validate.validate import REPORT, validate

    with progress("opening the bundle") as told:
        outcome = validate(Bundle.open(bundle), options, told)
    report = outcome.report
    say = people(as_json)
    print_parity(say, report)
    say.print(f"Report: {kept(bundle / REPORT)}", markup=False)
    if as_json:
        emit(report)
    ctx.exit(DONE if report.verdict == "pass" else CHECK_FAILED)

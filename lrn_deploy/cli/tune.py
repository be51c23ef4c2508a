"""``lrn-deploy tune``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.cli.common.places import own_bundle
from lrn_deploy.errors import CHECK_FAILED, DONE, INTERRUPTED
from lrn_deploy.workflows.tune.options import TuneOptions


@click.command("tune")
@own_bundle
@takes(TuneOptions)
@json_option
@click.pass_context
def command(ctx: click.Context, bundle: Path, options: TuneOptions, as_json: bool) -> None:
    """Find the fastest way to run a bundle here that is accurate enough.

    Makes the variants that this machine could run, judges each on real inputs against the fp32
    graph, validates those near the fastest, and races them. What can no longer win is not made; the
    report says why, and --thorough makes it all the same. The winner becomes the bundle's default,
    which 'classify' and 'serve' take. Exits with 1, and changes nothing, if none is accurate
    enough.

    \b
    Example:
      lrn-deploy tune alexnet
      lrn-deploy tune alexnet --max-error 3e-2
      lrn-deploy tune digits --min-agreement 0.99 --objective throughput --max-batch 32
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.report.console.tune import print_tune
    from lrn_deploy.workflows.tune.tune import REPORT, tune

    with progress("opening the bundle") as told:
        outcome = tune(Bundle.open(bundle), options, told)
    report = outcome.report
    say = people(as_json)
    print_tune(say, report)
    say.print(f"Report: {bundle / REPORT}")
    if as_json:
        emit(report)
    if not report.complete:
        ctx.exit(INTERRUPTED)
    if report.choice is not None:
        say.print(f"Next: lrn-deploy report {bundle}")
    ctx.exit(DONE if report.choice is not None else CHECK_FAILED)

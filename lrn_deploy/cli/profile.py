"""``lrn-deploy profile``."""

from __future__ import annotations

from pathlib import Path

import click

from lrn_deploy.cli.common.fields import takes
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.cli.common.places import copied_bundle, kept
from lrn_deploy.errors import CHECK_FAILED, DONE, INTERRUPTED
from lrn_deploy.workflows.profile.options import ProfileOptions


@click.command("profile")
@copied_bundle
@takes(ProfileOptions)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    bundle: Path,
    options: ProfileOptions,
    as_json: bool,
) -> None:
    """Measure every artifact of a bundle on every backend that is here.

    All of them take turns in one run, after warming up until steady; raw samples, the machine and
    its load are kept in reports/latency.json, and a machine that was too noisy is said. The floor
    is the least time that the machine's measured bandwidth and matrix rate allow. Ctrl-C keeps
    what was measured.

    \b
    Example:
      lrn-deploy profile alexnet
      lrn-deploy profile alexnet --max-batch 1 --compare alexnet-before
    """
    from lrn_deploy.bundle import Bundle
    from lrn_deploy.report.console.latency import print_latency
    from lrn_deploy.workflows.profile.profile import REPORT, profile

    with progress("opening the bundle") as told:
        outcome = profile(Bundle.open(bundle), options, told)
    report = outcome.report
    say = people(as_json)
    print_latency(say, report)
    say.print(f"Report: {kept(bundle / REPORT)}")
    if as_json:
        emit(report)
    if not report.complete:
        ctx.exit(INTERRUPTED)
    ctx.exit(CHECK_FAILED if report.regressed else DONE)

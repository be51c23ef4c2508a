"""``lrn-deploy profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrn_deploy.cli.common.options import bundle_argument
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.errors import CHECK_FAILED, DONE, INTERRUPTED

if TYPE_CHECKING:
    pass


@click.command("profile")
@bundle_argument
@click.option(
    "--max-batch", default=8, show_default=True, help="Measure batches of 1, 2, 4, ... and this."
)
@click.option(
    "--repeats", default=30, show_default=True, help="Rounds at each batch size; all run in each."
)
@click.option(
    "--seconds",
    default=20.0,
    show_default=True,
    help="Begin no further round at a batch size after so long (but measure 5 at least).",
)
@click.option(
    "--threads", default=0, show_default=True, help="Threads of a run on the CPU; 0: the default."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Run on cpu, cuda or cuda:N only, and fail if it is not there; may be repeated.",
)
@click.option("--artifact", "artifacts", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--layers/--no-layers",
    default=True,
    show_default=True,
    help="Also tell where the time goes, from a session of its own.",
)
@click.option(
    "--compare",
    metavar="BUNDLE|ARTIFACT|FILE",
    help="Compare with another bundle or artifact in turns, or with an earlier latency.json.",
)
@click.option(
    "--max-regression",
    default=5.0,
    show_default=True,
    metavar="PERCENT",
    help="With --compare: exit with 1 if an artifact is surely slower by more.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    bundle: Path,
    max_batch: int,
    repeats: int,
    seconds: float,
    threads: int,
    devices: tuple[str, ...],
    artifacts: tuple[str, ...],
    layers: bool,
    compare: str | None,
    max_regression: float,
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
    from lrn_deploy.latency.sampling import Effort
    from lrn_deploy.report.console.latency import print_latency
    from lrn_deploy.workflows.profile.compare import read_baseline
    from lrn_deploy.workflows.profile.options import ProfileOptions, powers_up_to
    from lrn_deploy.workflows.profile.profile import REPORT, profile

    opened = Bundle.open(bundle)
    against = None if compare is None else read_baseline(opened, compare)
    options = ProfileOptions(
        batches=powers_up_to(max_batch),
        effort=Effort(repeats, seconds),
        threads=threads,
        devices=devices or None,
        artifacts=artifacts,
        max_regression=max_regression / 100,
        layers=layers,
    )
    with progress() as bar:
        task = bar.add_task("opening the bundle", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        report = profile(opened, options, against, on_progress)
    say = people(as_json)
    print_latency(say, report)
    say.print(f"Report: {bundle / REPORT}")
    if as_json:
        emit(report)
    if not report.complete:
        ctx.exit(INTERRUPTED)
    ctx.exit(CHECK_FAILED if report.regressed else DONE)

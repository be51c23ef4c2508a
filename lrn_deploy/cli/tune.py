"""``lrn-deploy tune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrn_deploy.cli.common.options import bundle_argument
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.errors import CHECK_FAILED, DONE, INTERRUPTED

if TYPE_CHECKING:
    pass


@click.command("tune")
@bundle_argument
@click.option(
    "--max-error",
    type=float,
    metavar="E",
    help="Largest relative L2 error against the fp32 graph. Default: that of fp32 itself.",
)
@click.option(
    "--min-agreement",
    type=float,
    metavar="SHARE",
    help="Smallest share of inputs that keep their best class, 0.99 for instance.",
)
@click.option(
    "--objective",
    type=click.Choice(["latency", "throughput"]),
    default="latency",
    show_default=True,
    help="The shortest run at --batch, or the most items in a second at any batch.",
)
@click.option("--batch", default=1, show_default=True, help="Items in a run, for latency.")
@click.option("--max-batch", default=8, show_default=True, help="Measure batches of 1, 2, 4, ...")
@click.option(
    "--max-latency", type=float, metavar="MS", help="Longest run, for --objective throughput."
)
@click.option(
    "--threads",
    multiple=True,
    type=int,
    help="Number of threads to try on the CPU; may be repeated. Default: 1 and every core.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Run on cpu, cuda or cuda:N only; may be repeated.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images to judge on. Default: real ones that fit the network.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of images for int8, others than --images.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    help="How long to race the best candidates at each batch size.",
)
@click.option(
    "--thorough",
    is_flag=True,
    help="Make, validate and race everything, however clear the answer is.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    bundle: Path,
    max_error: float | None,
    min_agreement: float | None,
    objective: str,
    batch: int,
    max_batch: int,
    max_latency: float | None,
    threads: tuple[int, ...],
    devices: tuple[str, ...],
    images: Path | None,
    calibration: Path | None,
    seconds: float,
    thorough: bool,
    as_json: bool,
) -> None:
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
    from lrn_deploy.latency.sampling import Effort
    from lrn_deploy.report.console.tune import print_tune
    from lrn_deploy.workflows.tune.options import TuneOptions
    from lrn_deploy.workflows.tune.tune import REPORT, tune

    options = TuneOptions(
        max_error=max_error,
        min_agreement=min_agreement,
        objective="throughput" if objective == "throughput" else "latency",
        batch=batch,
        max_batch=max_batch,
        max_latency=None if max_latency is None else max_latency / 1e3,
        threads=threads,
        devices=devices or None,
        images=images,
        calibration=calibration,
        effort=Effort(rounds=60, seconds=seconds),
        thorough=thorough,
    )
    with progress() as bar:
        task = bar.add_task("opening the bundle", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        report = tune(Bundle.open(bundle), options, on_progress)
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

"""``lrn-deploy validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrn_deploy.cli.common.options import bundle_argument, gpu_memory_option
from lrn_deploy.cli.common.output import emit, json_option, people, progress
from lrn_deploy.errors import CHECK_FAILED, DONE

if TYPE_CHECKING:
    pass


@click.command("validate")
@bundle_argument
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also check on the pictures in this folder (at most 64).",
)
@click.option("--layerwise", is_flag=True, help="Compare every layer; name the first that drifts.")
@click.option(
    "--max-batch", default=8, show_default=True, help="Check at batch sizes 1, 3 and this one."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Run on cpu, cuda or cuda:N only, and fail if it is not there; may be repeated.",
)
@click.option("--max-error", type=float, help="Budget of the relative L2 error.")
@click.option("--max-active-error", type=float, help="The same on inputs that make LRN act.")
@click.option("--max-probe-error", type=float, help="The same of one LRN layer alone.")
@gpu_memory_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    bundle: Path,
    images: Path | None,
    layerwise: bool,
    max_batch: int,
    devices: tuple[str, ...],
    max_error: float | None,
    max_active_error: float | None,
    max_probe_error: float | None,
    gpu_memory: int | None,
    as_json: bool,
) -> None:
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
    from lrn_deploy.parity.budgets import Budgets
    from lrn_deploy.report.console.parity import print_parity
    from lrn_deploy.workflows.validate.options import ValidateOptions, batches_up_to
    from lrn_deploy.workflows.validate.validate import REPORT, validate

    options = ValidateOptions(
        images=images,
        batches=batches_up_to(max_batch),
        budgets=Budgets(max_error, max_active_error, max_probe_error),
        layerwise=layerwise,
        devices=devices or None,
        gpu_memory=gpu_memory,
    )
    with progress() as bar:
        task = bar.add_task("opening the bundle", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        report = validate(Bundle.open(bundle), options, on_progress)
    say = people(as_json)
    print_parity(say, report)
    say.print(f"Report: {bundle / REPORT}", markup=False)
    if as_json:
        emit(report)
    ctx.exit(DONE if report.verdict == "pass" else CHECK_FAILED)

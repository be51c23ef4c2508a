"""What tune found, as a table and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lrn_deploy.tuning.schema import Candidate, TuneReport


def print_tune(say: Console, report: TuneReport) -> None:
    """The candidates, why some are none, what it took, and the choice."""
    say.width = max(say.width, 120)  # better a line that wraps than one that is cut
    say.print(_table(report))
    for item in report.candidates:
        if item.reason and not item.within:
            say.print(f"{item.name}: {item.reason.rstrip('.')}.")
    if any(item.within and not item.raced for item in report.candidates):
        say.print("In brackets: measured alone for a moment, and too slow to be raced.")
    spent = ", ".join(f"{phase} {taken:.0f}" for phase, taken in report.phases.items())
    say.print(f"It took {report.seconds:.0f} s: {spent}.")
    for warning in report.warnings:
        say.print(f"Warning: {warning}")
    say.print(report.explanation)


def _table(report: TuneReport) -> Table:
    """The candidates that ran; * marks the Pareto front."""
    from rich.box import SIMPLE
    from rich.table import Table

    batches = sorted({point.batch for item in report.candidates for point in item.points})
    table = Table(box=SIMPLE, title=f"Errors on {report.inputs}; ms of a run by batch")
    for name in ("candidate", "backend"):
        table.add_column(name, no_wrap=True)
    for name in ("threads", "error", "top-1", *(f"b{batch}" for batch in batches), ""):
        table.add_column(name, justify="right", no_wrap=True)
    for item in report.candidates:
        if item.metrics is None:
            continue
        agreement = item.metrics.top1_agreement
        table.add_row(
            item.artifact,
            item.backend,
            str(item.threads or ""),
            f"{item.metrics.relative_l2:.2g}",
            "" if agreement is None else f"{agreement:.1%}",
            *(_time(item, batch) for batch in batches),
            f"{'*' if item.front else ''}{'' if item.within else ' out'}",
        )
    return table


def _time(item: Candidate, batch: int) -> str:
    point = item.at(batch)
    if point is None:
        return ""
    said = f"{1e3 * point.seconds:.3g}"
    return said if item.raced else f"({said})"

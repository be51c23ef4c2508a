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
    for candidate in report.candidates:
        if candidate.reason and not candidate.within:
            say.print(f"{candidate.name}: {candidate.reason.rstrip('.')}.")
    if any(candidate.within and not candidate.raced for candidate in report.candidates):
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

    batches = sorted({point.batch for candidate in report.candidates for point in candidate.points})
    table = Table(box=SIMPLE, title=f"Errors on {report.inputs}; ms of a run by batch")
    for name in ("candidate", "backend"):
        table.add_column(name, no_wrap=True)
    for name in ("threads", "error", "top-1", *(f"b{batch}" for batch in batches), ""):
        table.add_column(name, justify="right", no_wrap=True)
    for candidate in report.candidates:
        if candidate.metrics is None:
            continue
        agreement = candidate.metrics.top1_agreement
        table.add_row(
            candidate.artifact,
            candidate.backend,
            str(candidate.threads or ""),
            f"{candidate.metrics.relative_l2:.2g}",
            "" if agreement is None else f"{agreement:.1%}",
            *(_time(candidate, batch) for batch in batches),
            f"{'*' if candidate.front else ''}{'' if candidate.within else ' out'}",
        )
    return table


def _time(item: Candidate, batch: int) -> str:
    point = item.at(batch)
    if point is None:
        return ""
    said = f"{1e3 * point.seconds:.3g}"
    return said if item.raced else f"({said})"

"""The parity report as a table and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lrn_deploy.parity.schema import Check, ParityReport


def print_parity(say: Console, report: ParityReport) -> None:
    """One table, what stands out, and one verdict line."""
    table = _table(report)
    say.width = max(say.width, 100)  # better a line that wraps than one that is cut
    say.print(table)
    for line in (*_activity_lines(report), *_drift_lines(report), *_reasons(report.checks)):
        say.print(line, markup=False)
    for warning in report.warnings:
        say.print(f"Warning: {warning}", markup=False)
    if report.verdict == "pass":
        ran = len({check.artifact for check in report.checks if check.artifact and check.metrics})
        count = sum(check.verdict != "skipped" for check in report.checks)
        line = f"PASS: {ran} artifact(s), {count} checks, every error within its budget."
    else:
        shown = ", ".join(report.caught_by[:5])
        more = len(report.caught_by) - 5
        line = f"FAIL, caught by: {shown}{f' and {more} more' if more > 0 else ''}."
    say.print(line, markup=False)


def _table(report: ParityReport) -> Table:
    """The worst check of each artifact, backend and kind of inputs."""
    from rich.table import Table

    from lrn_deploy.parity.schema import grouped, worst

    table = Table(box=None, pad_edge=False)
    for title in ("artifact", "backend", "check"):
        table.add_column(title, no_wrap=True)
    for title in ("relative L2", "over signal", "budget"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    ran = {check.artifact for check in report.checks if check.metrics is not None}
    for checks in grouped(report.checks):
        shown = worst(checks)
        if _ran_elsewhere(shown, ran):
            continue  # the report says where it did not
        table.add_row(
            shown.artifact or "(reference)",
            shown.backend,
            shown.group,
            _number(shown.error),
            _number(shown.signal_error),
            f"{shown.budget.relative_l2:.0e}" if shown.budget else "-",
            shown.verdict,
        )
    return table


def _activity_lines(report: ParityReport) -> list[str]:
    """Where LRN acts: the highest activity of each layer on each set of inputs."""
    if not any(report.activity.values()):
        return []
    sets = "; ".join(
        f"{name} {', '.join(f'{value:.2g}' for value in layers.values())}"
        for name, layers in report.activity.items()
    )
    layers = ", ".join(next(iter(report.activity.values())))
    return [f"LRN activity of {layers}: {sets}"]


def _drift_lines(report: ParityReport) -> list[str]:
    lines = []
    for drift in report.drift:
        if drift.first is None:
            found = f"all {drift.compared} are within budget"
        else:
            found = f"the first over budget is {_describe(drift.first)}"
        lines.append(f"Layers of {drift.artifact} on {drift.backend}: {found}")
    return lines


def _reasons(checks: Sequence[Check]) -> list[str]:
    """A line for each row of the table that is no plain pass."""
    from lrn_deploy.parity.schema import grouped, worst

    lines = []
    ran = {check.artifact for check in checks if check.metrics is not None}
    for group in grouped(checks):
        shown = worst(group)
        if shown.verdict == "fail":
            lines.append(f"Failed: {_describe(shown)} on {shown.backend}: {shown.reason}")
        elif shown.verdict == "limited":
            lines.append(f"Limited: {_describe(shown)} on {shown.backend}: {shown.reason}")
        elif shown.verdict == "skipped" and not _ran_elsewhere(shown, ran):
            lines.append(f"Skipped: {shown.artifact or 'the reference'}: {shown.reason}")
    return lines


def _ran_elsewhere(check: Check, ran: set[str]) -> bool:
    """Whether an artifact was not run on one backend, but was on another."""
    return check.verdict == "skipped" and check.kind == "outputs" and check.artifact in ran


def _describe(check: Check) -> str:
    """``model, LRN alone, net.2, amplitude 1e+04 (relative L2 5.6e-05)``."""
    parts = [check.artifact or "(reference)"]
    parts += {"probe": ["LRN alone"], "layer": ["layer"]}.get(check.kind, [])
    parts += [part for part in (check.subject, check.inputs) if part]
    parts += [f"batch {check.batch}"] if check.batch else []
    return ", ".join(parts) + (f" (relative L2 {_number(check.error)})" if check.metrics else "")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1e}" if math.isfinite(value) else str(value)

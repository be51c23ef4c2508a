"""The load report as a table and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrn_deploy.load.schema import Latency, LoadReport, Step
from lrn_deploy.report.console.layout import Column, print_list

if TYPE_CHECKING:
    from rich.console import Console

_COLUMNS = (
    Column("load"),
    Column("answers/s", "answers/s="),
    Column("p50 ms", "p50="),
    Column("p90", "p90="),
    Column("p99", "p99="),
    Column("p99.9", "p99.9="),
    Column("max", "max="),
    Column("requests", "requests="),
    Column("failed", "failed="),
    Column("kept up"),
)


def print_load(say: Console, report: LoadReport) -> None:
    """The steps, the knee, what went wrong, and what to make of it."""
    ramp = report.mode == "ramp"
    rows = [_row(step) for step in report.steps]
    columns = _COLUMNS if ramp else _COLUMNS[:-1]
    print_list(say, "Load", columns, rows if ramp else [row[:-1] for row in rows], alarms=("no",))
    for line in sentences(report):
        say.print(line)
    for warning in report.warnings:
        say.print(f"Warning: {warning}")


def sentences(report: LoadReport) -> list[str]:
    """What there is to say beside the figures."""
    lines = [f"Asked {report.server}, model {report.model}: {report.asked}."]
    for step in report.steps:
        for kind, count in sorted(step.errors.items(), key=lambda pair: -pair[1]):
            lines.append(f"{named(step)}: {count} requests failed: {kind}.")
        if step.corrected is not None and report.mode == "closed":
            lines.append(_hidden(step.corrected))
        elif step.rate is not None and report.mode == "open":
            lines.append(
                "Latencies count from when each request was due, so no stall hides one; "
                f"{_ms(step.generator.late_p99)} ms of p99 at most are the generator's own."
            )
    if report.knee is not None:
        lines.append(knee_sentence(report))
    if report.slo is not None and report.mode != "ramp":
        verdict = "missed" if report.failed else "kept"
        lines.append(f"The limit of {_ms(report.slo)} ms for p99 was {verdict}.")
    if report.stopped:
        lines.append(f"Ended early: {report.stopped} What is told was measured until then.")
    return lines


def knee_sentence(report: LoadReport) -> str:
    """Where the knee is, and why there."""
    knee = report.knee
    if knee is None:
        return "The knee was not found."
    limit = f"p99 limit {_ms(knee.limit)} ms"
    if knee.rate is None:
        return f"The server kept up with no rate that was tried ({limit}): {knee.reason}."
    where = f"Knee: it keeps up with {knee.rate:.4g} requests/s ({limit})"
    if knee.beyond is None:
        return f"{where}, and was not tried beyond: {knee.reason}."
    return f"{where}; at {knee.beyond:.4g}/s {knee.reason}."


def named(step: Step) -> str:
    """What a step is called."""
    return f"{step.concurrency} at a time" if step.rate is None else f"{step.rate:.4g}/s"


def _row(step: Step) -> tuple[str, ...]:
    latency = step.latency
    times = (
        ("-",) * 5
        if latency is None
        else tuple(
            _ms(seconds)
            for seconds in (latency.p50, latency.p90, latency.p99, latency.p999, latency.max)
        )
    )
    kept = "-" if step.kept is None else "yes" if step.kept else "no"
    failed = sum(step.errors.values())
    return (
        named(step),
        f"{step.throughput:.4g}",
        *times,
        str(step.sent),
        str(failed) if failed else "-",
        kept,
    )


def _hidden(corrected: Latency) -> str:
    return (
        "A closed loop sends nothing while it waits, so a stall shows in few of its requests: "
        f"with those that it did not send p90 is {_ms(corrected.p90)} ms and p99 "
        f"{_ms(corrected.p99)} ms. --rate measures it."
    )


def _ms(seconds: float | None) -> str:
    """Milliseconds to three digits."""
    if seconds is None:
        return "-"
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

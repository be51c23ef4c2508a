"""Sections about speed: distributions, throughput, first runs, the floor, comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from lrn_deploy.latency.schema import LatencyReport, Row
from lrn_deploy.report.charts.frame import Box, Line, box_chart, line_chart
from lrn_deploy.report.markup import (
    Child,
    Markup,
    el,
    folded,
    join,
    milliseconds,
    not_run,
    number,
    place,
    section,
    table,
)

MISSING = "Nothing was timed yet: run 'lrn-deploy profile BUNDLE' and draw this page again."


def latency(report: LatencyReport | None) -> Markup:
    """Distributions at each batch size, throughput against batch, and the numbers behind them."""
    if report is None:
        return section("Speed", el("p", MISSING), id_="latency")
    parts: list[Child] = [el("p", _setting(report), class_="soft")]
    timed = [row for row in report.rows if row.summary is not None]
    if timed:
        parts += [_numbers(timed), _distributions(timed), _throughput(timed)]
    parts += [_not_measured(report), _starts(report), _comparisons(report), _floor(report)]
    return section("Speed", *parts, id_="latency")


def _setting(report: LatencyReport) -> str:
    said = f"Timed: {report.timed.rstrip('.')}. All took turns in one run."
    return said if report.complete else f"{said} It was interrupted, so rows are missing."


def _throughput(rows: Sequence[Row]) -> Markup:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(rows, key=lambda row: row.batch or 0):
        if row.batch and row.throughput:
            lines.setdefault(_name(row), []).append((row.batch, row.throughput))
    if not lines:
        return Markup()
    chart = line_chart(
        [Line(name, tuple(points)) for name, points in lines.items()],
        "batch",
        "items a second",
        x_ticks=sorted({x for points in lines.values() for x, _ in points}),
        label="Throughput against batch size",
    )
    heading = el("h3", "Throughput against batch")
    return join(heading, el("div", el("div", chart), class_="charts"))


def _distributions(rows: Sequence[Row]) -> Markup:
    """A chart for the smallest and the largest batch; those of the others are folded away."""
    charts = []
    for batch in sorted({row.batch for row in rows if row.batch}):
        chosen = [row for row in rows if row.batch == batch]
        chosen.sort(key=lambda row: row.summary.p50 if row.summary else 0.0)
        chart = box_chart(
            [_box(row) for row in chosen],
            "milliseconds a run",
            f"Distribution of latencies at batch {batch}",
        )
        charts.append(el("div", el("h3", f"Batch {batch}"), chart))
    note = (
        "Box: the middle half of the runs, with the median. Line: nine runs of ten. Small tick: "
        "p99. Dot: the slowest run, an arrow if it lies beyond the axis. Dashed green: the least "
        "time that the machine's measured bandwidth and matrix rate allow."
    )
    between = charts[1:-1]
    more = f"{len(between)} more batch size{'' if len(between) == 1 else 's'}"
    return join(
        el("h3", "Latency distributions"),
        el("p", note, class_="soft"),
        el("div", *charts[:1], *charts[1:][-1:], class_="charts"),
        folded(more, el("div", *between, class_="charts")) if between else None,
    )


def _box(row: Row) -> Box:
    told = row.summary
    assert told is not None
    return Box(
        name=_name(row),
        p5=1e3 * told.p5,
        p25=1e3 * told.p25,
        p50=1e3 * told.p50,
        p75=1e3 * told.p75,
        p95=1e3 * told.p95,
        p99=1e3 * told.p99,
        max=1e3 * told.max,
        floor=1e3 * row.bound.seconds if row.bound else None,
    )


def _numbers(rows: Sequence[Row]) -> Markup:
    """The smallest and the largest batch; every row, and what few ask for, folded away."""
    ordered = sorted(rows, key=lambda row: (row.batch or 0, row.artifact, row.backend, row.bundle))
    ends = (ordered[0].batch, ordered[-1].batch)
    shown = [row for row in ordered if row.batch in ends]
    titles = ("artifact", "batch", "p50 ms", "p90", "p99", "max", "items/s", "x floor", "noise")
    right = tuple(range(1, 8))
    between = [row for row in ordered if row.batch not in ends]
    cells = [_times(row) for row in between]
    more = f"{_rows(between)} of the batch sizes between"
    bounds: list[tuple[Child, ...]] = [
        (
            place(_artifact(row), row.backend),
            str(row.batch),
            milliseconds(row.bound.seconds if row.bound else None),
            _whole(row.over_bound),
            str(row.summary.count) if row.summary else "-",
            "; ".join(row.noise.reasons) or "steady" if row.noise else "unknown",
        )
        for row in ordered
    ]
    behind = ("artifact", "batch", "floor ms", "x floor", "runs", "noise")
    return join(
        table(titles, [_times(row) for row in shown], right=right),
        folded(more, table(titles, cells, right=right)) if between else None,
        folded(
            f"The hardware floor, the number of runs and the noise: {_rows(ordered)}",
            table(behind, bounds, right=(1, 2, 3, 4)),
        ),
    )


def _times(row: Row) -> tuple[Child, ...]:
    told = row.summary
    assert told is not None
    noisy = row.noise is None or row.noise.noisy
    why = "; ".join(row.noise.reasons) if row.noise else "noise unknown"
    return (
        place(_artifact(row), row.backend),
        str(row.batch),
        *(milliseconds(value) for value in (told.p50, told.p90, told.p99, told.max)),
        _whole(row.throughput),
        _whole(row.over_bound),
        el("span", "noisy", class_="state limited", title=why) if noisy else "steady",
    )


def _rows(rows: Sequence[Row]) -> str:
    return f"{len(rows)} row{'' if len(rows) == 1 else 's'}"


def _not_measured(report: LatencyReport) -> Markup:
    """What could not be timed, and why, folded away."""
    entries = [
        (
            f"{_artifact(row)}{f' on {row.backend}' if row.backend else ''}"
            f"{f' at batch {row.batch}' if row.batch else ''}",
            row.reason,
        )
        for row in report.rows
        if row.reason
    ]
    return not_run("not timed here", entries)


def _starts(report: LatencyReport) -> Markup:
    rows: list[tuple[Child, ...]] = []
    failed: list[tuple[str, str]] = []
    for start in report.starts:
        cost = start.cost
        name = start.artifact + ("" if start.bundle == "this" else " (other bundle)")
        if cost.error:
            failed.append((f"{name} on {start.backend}", cost.error))
            continue
        rows.append(
            (
                place(name, start.backend),
                milliseconds(cost.load),
                milliseconds(cost.first),
                _megabytes(cost.peak_memory),
                _megabytes(cost.base_memory),
            )
        )
    titles = ("artifact", "load ms", "first run ms", "peak MB", "MB before")
    heading = el("h3", "The first answer, in a process of its own")
    return join(
        heading if rows or failed else None,
        table(titles, rows, right=(1, 2, 3, 4)) if rows else None,
        not_run("without a first answer", failed),
    )


def _comparisons(report: LatencyReport) -> Markup:
    if not report.comparisons:
        return Markup()
    classes = {"regression": "fail", "within": "pass", "inconclusive": "limited"}
    rows: list[tuple[Child, ...]] = []
    for compared in report.comparisons:
        ratio = compared.ratio
        answer = el("span", compared.answer, class_=f"state {classes[compared.answer]}")
        why = el("span", compared.reason, class_="on") if compared.reason else None
        rows.append(
            (
                place(compared.artifact, compared.backend),
                compared.against,
                str(compared.batch),
                number(ratio.estimate, f"{ratio.estimate:.3f}") if ratio else "-",
                f"{ratio.low:.3f} to {ratio.high:.3f}" if ratio else "-",
                join(answer, " ", why),
            )
        )
    titles = ("artifact", "against", "batch", "ratio", "95% interval", "answer")
    return join(
        el("h3", f"Comparison, with {100 * report.max_regression:g} % let pass"),
        table(titles, rows, right=(2, 3, 4)),
    )


def _floor(report: LatencyReport) -> Markup:
    said = []
    if report.hardware is not None:
        rates = [
            f"{rate / 1e9:.0f} G multiply-adds a second in {kind}"
            for kind, rate in sorted(report.hardware.matrix_rate.items())
        ]
        memory = f"reads {report.hardware.memory_bandwidth / 1e9:.0f} GB/s from memory"
        said.append(el("p", f"The machine at its best: {'; '.join([memory, *rates])}."))
    if report.preparation is not None:
        made = report.preparation
        said.append(
            el(
                "p",
                f"Preparing one image ({made.image}), in no other time here: decoding ",
                milliseconds(made.decode.p50),
                " ms, preprocessing ",
                milliseconds(made.preprocess.p50),
                " ms.",
            )
        )
    return join(*said)


def _artifact(row: Row) -> str:
    return row.artifact if row.bundle == "this" else f"{row.artifact} (other bundle)"


def _name(row: Row) -> str:
    return f"{_artifact(row)} on {row.backend}"


def _whole(value: float | None) -> Markup:
    """Two digits, or all before the point."""
    return number(
        value, None if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2g}"
    )


def _megabytes(size: int | None) -> Markup:
    return number(size, None if size is None else f"{size / 1e6:.0f}")

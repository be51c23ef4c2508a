"""Sections about speed: distributions, throughput, first runs, the floor, comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from lrn_deploy.latency.schema import LatencyReport, Row
from lrn_deploy.report.charts.frame import Box, Line, box_chart, line_chart
from lrn_deploy.report.markup import (
    Child,
    Markup,
    bullets,
    el,
    join,
    milliseconds,
    number,
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
        parts += [_throughput(timed), _distributions(timed), _numbers(timed)]
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
    return join(
        el("h3", "Latency distributions"),
        el("p", note, class_="soft"),
        el("div", *charts, class_="charts"),
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
    cells: list[tuple[Child, ...]] = []
    ordered = sorted(rows, key=lambda row: (row.batch or 0, row.artifact, row.backend, row.bundle))
    for row in ordered:
        told = row.summary
        assert told is not None
        noisy = row.noise is None or row.noise.noisy
        why = "; ".join(row.noise.reasons) if row.noise else "noise unknown"
        cells.append(
            (
                _artifact(row),
                row.backend,
                str(row.batch),
                *(milliseconds(value) for value in (told.p50, told.p90, told.p99, told.max)),
                _whole(row.throughput),
                milliseconds(row.bound.seconds if row.bound else None),
                _whole(row.over_bound),
                str(told.count),
                el("span", "noisy", class_="state limited", title=why) if noisy else "steady",
            )
        )
    times = ("p50 ms", "p90", "p99", "max", "items/s", "floor ms", "x floor")
    titles = ("artifact", "backend", "batch", *times, "runs", "noise")
    return table(titles, cells, right=tuple(range(2, 11)))


def _not_measured(report: LatencyReport) -> Markup:
    """What could not be timed; not for a device that is absent where another timed it."""
    ran = {(row.bundle, row.artifact) for row in report.rows if row.samples}
    lines: list[Child] = [
        f"Not timed: {_artifact(row)}{f' on {row.backend}' if row.backend else ''}"
        f"{f' at batch {row.batch}' if row.batch else ''}: {row.reason}"
        for row in report.rows
        if row.reason and ((row.bundle, row.artifact) not in ran or row.batch is not None)
    ]
    return bullets(lines)


def _starts(report: LatencyReport) -> Markup:
    rows: list[tuple[Child, ...]] = []
    for start in report.starts:
        cost = start.cost
        other = "" if start.bundle == "this" else " (other bundle)"
        rows.append(
            (
                start.artifact + other,
                start.backend,
                milliseconds(cost.load),
                milliseconds(cost.first),
                _megabytes(cost.peak_memory),
                _megabytes(cost.base_memory),
                cost.error or "-",
            )
        )
    if not rows:
        return Markup()
    titles = ("artifact", "backend", "load ms", "first run ms", "peak MB", "MB before", "problem")
    return join(
        el("h3", "The first answer, in a process of its own"),
        table(titles, rows, right=(2, 3, 4, 5)),
    )


def _comparisons(report: LatencyReport) -> Markup:
    if not report.comparisons:
        return Markup()
    classes = {"regression": "fail", "within": "pass", "inconclusive": "limited"}
    rows: list[tuple[Child, ...]] = [
        (
            item.artifact,
            item.against,
            item.backend,
            str(item.batch),
            number(item.ratio.estimate, f"{item.ratio.estimate:.3f}") if item.ratio else "-",
            f"{item.ratio.low:.3f} to {item.ratio.high:.3f}" if item.ratio else "-",
            el("span", item.answer, class_=f"state {classes[item.answer]}"),
            item.reason or "-",
        )
        for item in report.comparisons
    ]
    titles = ("artifact", "against", "backend", "batch", "ratio", "95 % interval", "answer", "why")
    return join(
        el("h3", f"Comparison, with {100 * report.max_regression:g} % let pass"),
        table(titles, rows, right=(3, 4, 5)),
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

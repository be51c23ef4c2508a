"""The section about where the time goes, layer by layer."""

from __future__ import annotations

from lrn_deploy.latency.schema import LatencyReport, Layers
from lrn_deploy.report.charts.bars import Bar, bar_chart
from lrn_deploy.report.markup import (
    Child,
    Markup,
    el,
    folded,
    milliseconds,
    number,
    percent,
    place,
    section,
    table,
)

MOST = 16
"""Layers that are drawn alone; the others of a deeper network are one bar."""
SHOWN = 2
"""Artifacts whose layers are drawn without unfolding them, the quickest first."""


def layer_times(report: LatencyReport | None) -> Markup:
    """What LRN takes of each artifact, and each artifact's layers as bars."""
    if report is None or not report.layers:
        return Markup()
    found = sorted(report.layers, key=lambda traced: traced.whole)
    note = (
        "Measured in a session that times its own kernels, which makes a run longer than the p50 "
        "of one that does not, of a short network many times; the quicker half of its runs "
        "counts. What a runtime fused is told under the layer that does the work; an LRN layer "
        "is everything it was lowered to. In the order in which they ran, orange and with a star: "
        "LRN."
    )
    charts = [
        el(
            "div",
            el("h3", f"{traced.artifact} on {traced.backend}, batch {traced.batch}"),
            bar_chart(_bars(traced), f"Time by layer of {traced.artifact} on {traced.backend}"),
        )
        for traced in found
    ]
    more = charts[SHOWN:]
    return section(
        "Time by layer",
        _summary(found, report),
        el("p", note, class_="soft"),
        el("div", *charts[:SHOWN], class_="charts"),
        folded(f"{len(more)} more, slower", el("div", *more, class_="charts")) if more else None,
        id_="layers",
    )


def _summary(found: list[Layers], report: LatencyReport) -> Markup:
    timed = {
        (row.artifact, row.backend, row.batch): row.summary.p50
        for row in report.rows
        if row.bundle == "this" and row.summary is not None
    }
    rows: list[tuple[Child, ...]] = []
    for traced in found:
        lrn = sum(layer.seconds for layer in traced.layers if layer.kind == "LRN")
        rows.append(
            (
                place(traced.artifact, traced.backend),
                str(traced.batch),
                milliseconds(timed.get((traced.artifact, traced.backend, traced.batch))),
                milliseconds(traced.whole),
                milliseconds(lrn),
                number(lrn / traced.whole, percent(lrn / traced.whole)),
                milliseconds(traced.rest),
                str(traced.runs),
            )
        )
    titles = ("artifact", "batch", "p50 ms", "run ms", "LRN ms", "LRN", "outside ms", "runs")
    return table(titles, rows, right=tuple(range(1, 8)))


def _bars(item: Layers) -> list[Bar]:
    """Bars in milliseconds: the longest layers, the others together, and what is no layer."""
    ranked = sorted(item.layers, key=lambda layer: -layer.seconds)
    drawn = {id(layer) for layer in ranked[:MOST]}
    # One layer alone left over would take no less room as "1 other layer".
    if len(ranked) == MOST + 1:
        drawn.add(id(ranked[MOST]))
    bars = [
        _bar(
            f"★ {layer.name}" if layer.kind == "LRN" else layer.name,
            layer.seconds,
            item.whole,
            "lrn" if layer.kind == "LRN" else "layer",
            f"{layer.name} ({layer.kind})",
        )
        for layer in item.layers
        if id(layer) in drawn
    ]
    others = [layer for layer in item.layers if id(layer) not in drawn]
    if others:
        name = f"{len(others)} other layers"
        bars.append(_bar(name, sum(small.seconds for small in others), item.whole, "rest", name))
    told = "Outside of the layers: dispatching, copies, and waiting in between"
    return [*bars, _bar("outside", item.rest, item.whole, "rest", told)]


def _bar(name: str, seconds: float, whole: float, class_: str, told: str) -> Bar:
    share = f"{seconds / whole:.1%}" if abs(seconds) < 0.1 * whole else f"{seconds / whole:.0%}"
    shown = f"{1e3 * seconds:.3g} ms · {share}"
    return Bar(name, 1e3 * seconds, shown, class_, f"{told}: {shown}")

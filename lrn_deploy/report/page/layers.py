"""The section about where the time goes, layer by layer."""

from __future__ import annotations

from lrn_deploy.latency.schema import LatencyReport, Layers
from lrn_deploy.report.charts.bars import Bar, bar_chart
from lrn_deploy.report.markup import Child, Markup, el, milliseconds, number, section, table

MOST = 16
"""Layers that are drawn alone; the others of a deeper network are one bar."""


def layer_times(report: LatencyReport | None) -> Markup:
    """What LRN takes of each artifact, and each artifact's layers as bars."""
    if report is None or not report.layers:
        return Markup()
    found = sorted(report.layers, key=lambda item: item.whole)
    note = (
        "Measured in a session that times its own kernels, which makes a run longer than the p50 "
        "of one that does not, of a short network many times; the quicker half of its runs "
        "counts. What a runtime fused is told under the layer that does the work; an LRN layer "
        "is everything it was lowered to. In the order in which they ran, orange: LRN."
    )
    charts = [
        el(
            "div",
            el("h3", f"{item.artifact} on {item.backend}, batch {item.batch}"),
            bar_chart(_bars(item), f"Time by layer of {item.artifact} on {item.backend}"),
        )
        for item in found
    ]
    return section(
        "Time by layer",
        el("p", note, class_="soft"),
        _summary(found, report),
        el("div", *charts, class_="charts"),
        id_="layers",
    )


def _summary(found: list[Layers], report: LatencyReport) -> Markup:
    timed = {
        (row.artifact, row.backend, row.batch): row.summary.p50
        for row in report.rows
        if row.bundle == "this" and row.summary is not None
    }
    rows: list[tuple[Child, ...]] = []
    for item in found:
        lrn = sum(layer.seconds for layer in item.layers if layer.kind == "LRN")
        rows.append(
            (
                item.artifact,
                item.backend,
                str(item.batch),
                milliseconds(timed.get((item.artifact, item.backend, item.batch))),
                milliseconds(item.whole),
                milliseconds(lrn),
                _percent(lrn / item.whole),
                milliseconds(item.rest),
                str(item.runs),
            )
        )
    titles = (
        "artifact",
        "backend",
        "batch",
        "p50 ms",
        "run ms",
        "LRN ms",
        "LRN",
        "outside ms",
        "runs",
    )
    return table(titles, rows, right=tuple(range(2, 9)))


def _bars(item: Layers) -> list[Bar]:
    """Bars in milliseconds: the longest layers, the others together, and what is no layer."""
    ranked = sorted(item.layers, key=lambda layer: -layer.seconds)
    drawn = {id(layer) for layer in ranked[:MOST]}
    # One layer alone left over would take no less room as "1 other layer".
    if len(ranked) == MOST + 1:
        drawn.add(id(ranked[MOST]))
    bars = [
        _bar(
            layer.name,
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
        bars.append(_bar(name, sum(it.seconds for it in others), item.whole, "rest", name))
    told = "Outside of the layers: dispatching, copies, and waiting in between"
    return [*bars, _bar("outside", item.rest, item.whole, "rest", told)]


def _bar(name: str, seconds: float, whole: float, class_: str, told: str) -> Bar:
    share = f"{seconds / whole:.1%}" if abs(seconds) < 0.1 * whole else f"{seconds / whole:.0%}"
    shown = f"{1e3 * seconds:.3g} ms · {share}"
    return Bar(name, 1e3 * seconds, shown, class_, f"{told}: {shown}")


def _percent(share: float) -> Markup:
    return number(share, f"{share:.0%}")

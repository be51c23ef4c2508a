"""The section that draws the network as a strip of layers, coloured by drift and by time."""

from __future__ import annotations

from lrn_deploy.parity.schema import Check
from lrn_deploy.report.charts.strip import Cell, legend, strip
from lrn_deploy.report.markup import (
    Child,
    Markup,
    el,
    folded,
    milliseconds,
    number,
    percent,
    section,
    short,
    table,
)
from lrn_deploy.report.page.layer_facts import LayerFacts, View, views
from lrn_deploy.report.source import Source

NO_LAYERS = "None of the reports knows the network's layers by name, so there is no strip to draw."
TOLD = 0.02
"""Part of a run from which on what belongs to no layer is named."""


def network(source: Source) -> Markup:
    """The strip of what the bundle is run with, its key, its table; the others' folded away."""
    found = views(source)
    if not found or not found[0].layers:
        return section("The network", el("p", NO_LAYERS), id_="network")
    first, *more = found
    parts: list[Child] = [el("p", headline(first), class_="lead"), _figure(first, source, legend())]
    if more:
        figures = [_figure(view, source) for view in more]
        parts.append(folded(f"{len(more)} more, of other artifacts and backends", *figures))
    return section("The network", *parts, id_="network")


def headline(view: View) -> str:
    """What LRN takes, and which layer comes nearest to its budget."""
    lrn = sum(layer.lrn for layer in view.layers)
    plural = "" if len(view.layers) == 1 else "s"
    said = f"{len(view.layers)} layer{plural}, {lrn or 'none'} of them LRN"
    if lrn and view.times is not None:
        spent = sum(layer.seconds for layer in view.times.layers if layer.kind == "LRN")
        take = "takes" if lrn == 1 else "take"
        said += f", which {take} {percent(spent / view.times.whole)} of a run"
    compared = [
        (layer.check.severity, layer)
        for layer in view.layers
        if layer.check is not None and layer.check.verdict in ("pass", "fail")
    ]
    if not compared:
        return f"{said}."
    over = [layer.name for _, layer in compared if layer.check and layer.check.verdict == "fail"]
    if over:
        are = "is over budget:" if len(over) == 1 else "are over budget, first of them"
        return f"{said}. {len(over)} of {len(compared)} compared {are} {over[0]}."
    used, worst = max(compared, key=lambda pair: pair[0])
    return f"{said}. Nearest to its budget is {worst.name}, at {percent(used)} of it."


def _figure(view: View, source: Source, key: Markup | None = None) -> Markup:
    said = [_drift_sentence(view, source), _time_sentence(view, source)]
    caption = el("figcaption", el("b", view.name or "The network"), ". ", " ".join(said))
    cells = [_cell(layer) for layer in view.layers]
    label = f"Layers of {view.name or 'the network'}, in order"
    alternative = folded(f"As a table: {len(cells)} layers", _table(view))
    return el("figure", caption, strip(cells, label), key, alternative, class_="network")


def _cell(layer: LayerFacts) -> Cell:
    check, time = layer.check, layer.time
    used = None
    if check is not None and check.budget is not None and check.verdict != "skipped":
        used = check.severity
    elif check is not None and check.verdict == "fail":
        used = float("inf")
    told = [f"{layer.name}{f' ({layer.kind})' if layer.kind else ''}"]
    told.append(_compared(check))
    told.append(
        "not timed by itself"
        if time is None
        else f"{1e3 * time.seconds:.3g} ms, {percent(time.share)} of the run"
    )
    return Cell(
        name=layer.name,
        kind=layer.kind,
        marked=layer.lrn,
        used=used,
        verdict=check.verdict if check else "",
        share=time.share if time else None,
        told="; ".join(told),
    )


def _compared(check: Check | None) -> str:
    if check is None:
        return "not compared"
    if check.error is None:
        return f"{check.verdict}: {check.reason or 'no reason given'}"
    said = f"relative L2 error {short(check.error)}"
    return f"{said}, {short(check.severity)} of its budget" if check.budget else said


def _drift_sentence(view: View, source: Source) -> str:
    if view.drift_of == "layer":
        against = source.parity.reference if source.parity else "the reference"
        return f"Drift: each layer's worst error over its budget, against {against}."
    every = "'lrn-deploy validate BUNDLE --layerwise' compares every layer."
    if view.drift_of == "probe":
        return f"Drift: of the LRN layers only, each run alone against its definition; {every}"
    if source.parity is None:
        return f"Drift: nothing was validated; {every}"
    return f"Drift: no layer was compared; {every}"


def _time_sentence(view: View, source: Source) -> str:
    times = view.times
    if times is not None:
        said = f"Time: each layer's part of a run of batch {times.batch}, "
        said += f"{1e3 * times.whole:.3g} ms while its layers are timed"
        parts = [(times.rest / times.whole, "is outside of the layers")]
        parts += [(part.share, f"is {part.name}") for part in view.beside]
        shown = [f"{percent(share)} {what}" for share, what in parts if share >= TOLD]
        return f"{said}; {', '.join(shown)}." if shown else f"{said}."
    if source.latency is None:
        return "Time: nothing was profiled; 'lrn-deploy profile BUNDLE' times every layer."
    if view.stale:
        return "Time: measured of other bytes; run 'lrn-deploy profile BUNDLE' again."
    return "Time: not told by layer; 'profile' does so on ONNX Runtime's CPU and on OpenVINO."


def _table(view: View) -> Markup:
    rows: list[tuple[Child, ...]] = []
    for layer in view.layers:
        check, time = layer.check, layer.time
        judged = check is not None and check.budget is not None
        rows.append(
            (
                layer.name,
                "LRN" if layer.lrn else layer.kind or "-",
                number(check.error if check else None),
                number(check.severity if check and judged else None),
                el("span", check.verdict, class_=f"state {check.verdict}") if check else "-",
                milliseconds(time.seconds if time else None),
                number(time.share, percent(time.share)) if time else "-",
            )
        )
    titles = ("layer", "kind", "relative L2", "of the budget", "verdict", "ms", "of the run")
    return table(titles, rows, right=(2, 3, 5, 6))

"""A network as a strip of cells, one for each layer: how far it drifts, and what time it takes.

A cell holds two bars on tracks of their own. Colours go in steps that a legend explains, and the
height of a bar says the same without colour; what is over its budget has a mark beside it. Cells
are small drawings in a list that wraps, so the strip fits a screen of any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from lrn_deploy.report.charts.scales import Log
from lrn_deploy.report.markup import Markup, el

DRIFT_STEPS = (1e-3, 1e-2, 1e-1, 1.0)
"""Bounds of the colours of an error over its budget; beyond the last it is over."""
TIME_STEPS = (0.01, 0.03, 0.1, 0.3)
"""Bounds of the colours of a layer's part of the run."""
DENSE = 48
"""Layers from which on the cells are narrow, without names, and only LRN is said to be that."""
TRACK, GAP = 30.0, 6.0
HEIGHT = 2 * TRACK + GAP
_LEAST = 2.0
"""Height of the lowest bar: what was measured is to be seen."""
_DRIFT = Log(DRIFT_STEPS[0], 10.0, _LEAST, TRACK)
BUDGET_LINE = TRACK - _DRIFT(1.0)
"""Where the budget lies, from the top of a cell."""
_SIGNS = {"fail": "!", "limited": "~"}


@dataclass(frozen=True)
class Cell:
    """One layer.

    Attributes:
        name: What it is called.
        kind: Its operator; empty where nobody said.
        marked: Whether it is LRN.
        used: Its error over the budget; None if it was not compared.
        verdict: Of that comparison: ``pass``, ``limited``, ``fail`` or ``unjudged``.
        share: Its part of the whole run's time; None if it was not timed by itself.
        told: All of that in words.
    """

    name: str
    kind: str
    marked: bool
    used: float | None
    verdict: str
    share: float | None
    told: str


def step(value: float, bounds: Sequence[float]) -> int:
    """How many bounds lie below a value: its colour. NaN is beyond all of them.

    >>> step(0.0, DRIFT_STEPS), step(1.0, DRIFT_STEPS), step(1.01, DRIFT_STEPS)
    (0, 3, 4)
    """
    return len(bounds) if isnan(value) else sum(value > bound for bound in bounds)


def strip(cells: Sequence[Cell], label: str) -> Markup:
    """The cells in a list that wraps, in the order of the network.

    Args:
        cells: The layers.
        label: What the list is, for those who cannot see it.
    """
    longest = max((cell.share for cell in cells if cell.share is not None), default=0.0)
    dense = len(cells) > DENSE
    key = el("li", el("span", "drift"), el("span", "time"), class_="lanes", aria_hidden="true")
    items = [_item(cell, longest or 1.0, dense=dense) for cell in cells]
    class_ = "strip dense" if dense else "strip"
    return el("ol", key, *items, class_=class_, role="list", aria_label=label)


def legend() -> Markup:
    """What the colours and the signs mean."""
    drift = ("0.1%", "1%", "10%", "100%", "over")
    time = ("1%", "3%", "10%", "30%", "more")
    return el(
        "div",
        _scale("Drift, of the budget", "drift", drift),
        _scale("Time, of the run", "time", time),
        el("span", el("span", "LRN", class_="kind lrn"), "an LRN layer", class_="key"),
        el("span", el("b", "!"), "over budget", class_="key"),
        el("span", el("b", "~"), "limited by the runtime's own kernel", class_="key"),
        el("span", el("span", class_="nothing"), "not measured by itself", class_="key"),
        class_="keys",
    )


def _scale(title: str, lane: str, names: Sequence[str]) -> Markup:
    """Swatches side by side, each above the largest value of its colour."""
    swatches = [
        el("span", el("span", class_=f"swatch {lane}{at}"), name) for at, name in enumerate(names)
    ]
    return el("span", title, el("span", *swatches, class_="swatches"), class_="key")


def _item(cell: Cell, longest: float, *, dense: bool) -> Markup:
    picture = el(
        "svg",
        el("title", cell.told),
        *_drift(cell),
        *_time(cell, longest),
        height=HEIGHT,
        width="100%",
        role="img",
        aria_label=cell.told,
    )
    kind = "LRN" if cell.marked else None if dense else cell.kind
    return el(
        "li",
        el("span", kind, class_="kind lrn" if cell.marked else "kind"),
        picture,
        None if dense else el("span", cell.name, class_="name", aria_hidden="true"),
        class_="wide" if cell.marked else None,
    )


def _drift(cell: Cell) -> list[Markup]:
    if cell.used is None:
        return [_track(0.0, missing=True)]
    height = TRACK if isnan(cell.used) else _DRIFT(cell.used)
    colour = "limited" if cell.verdict == "limited" else f"drift{step(cell.used, DRIFT_STEPS)}"
    line = el("line", class_="limit", x1="0", x2="100%", y1=BUDGET_LINE, y2=BUDGET_LINE)
    parts = [_track(0.0), _bar(TRACK - height, height, colour), line]
    sign = _SIGNS.get(cell.verdict)
    if sign:
        parts.append(el("text", sign, class_="sign", x="50%", y=TRACK - 4, text_anchor="middle"))
    return parts


def _time(cell: Cell, longest: float) -> list[Markup]:
    top = TRACK + GAP
    if cell.share is None:
        return [_track(top, missing=True)]
    height = max(TRACK * max(cell.share, 0.0) / longest, _LEAST)
    colour = f"time{step(cell.share, TIME_STEPS)}"
    return [_track(top), _bar(top + TRACK - height, height, colour)]


def _track(top: float, *, missing: bool = False) -> Markup:
    class_ = "track nothing" if missing else "track"
    return el("rect", class_=class_, width="100%", height=TRACK, y=top)


def _bar(top: float, height: float, class_: str) -> Markup:
    return el("rect", class_=f"heat {class_}", width="100%", height=height, y=top)

"""Charts as inline SVG: pure functions from numbers to markup, without scripts or fonts.

Colours are classes that :data:`.page.style.CSS` gives a light and a dark value. Each
mark has a ``<title>``, which browsers show on hovering and screen readers read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrn_deploy.report.charts.scales import Linear, Log, Scale, decades
from lrn_deploy.report.markup import Markup, el, short

WIDTH, HEIGHT = 400.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 12.0, 10.0, 38.0
SERIES = 8
"""Number of colours; further lines take them again, dashed."""
SHARE_LOW, SHARE_HIGH = 1e-3, 1e2
"""Ends of a budget bar: a thousandth of the budget, and a hundred times it."""
_LONGEST_NAME = 48
"""Characters that fit above a box."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: What it is called in the legend.
        points: Pairs of x and y; y may be 0 or infinite, and is then drawn at the edge.
        marks: What is special about a point, by its place: a class of the style sheet.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Box:
    """One row of a box chart, in the unit of its axis."""

    name: str
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    p99: float
    max: float
    floor: float | None = None


def budget_bar(share: float, verdict: str) -> Markup:
    """How much of its budget an error uses, on a logarithmic scale with the budget marked.

    Args:
        share: Error over budget; 0 draws no bar and infinity or NaN a full one.
        verdict: Class of the colour.
    """
    width, height = 120.0, 14.0
    scale = Log(SHARE_LOW, SHARE_HIGH, 0.0, width)
    full = width if math.isnan(share) else scale(share)
    limit = scale(1.0)
    return el(
        "svg",
        el("title", f"{short(share)} of the budget; the line marks the budget"),
        el("rect", class_="track", width=width, height=6.0, y=4.0, rx=3.0),
        el("rect", class_=f"bar {verdict}", width=max(full, 0.0), height=6.0, y=4.0, rx=3.0),
        el("line", class_="limit", x1=limit, x2=limit, y1=0.0, y2=height),
        class_="budget",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
    )


def line_chart(
    lines: Sequence[Line],
    x_title: str,
    y_title: str,
    *,
    budget: float | None = None,
    x_ticks: Sequence[float] | None = None,
    label: str,
) -> Markup:
    """Lines over two logarithmic axes, with a legend below.

    Args:
        lines: What to draw; x must be positive.
        x_title: Title of the horizontal axis.
        y_title: Title of the vertical axis.
        budget: Where to draw a dashed line across; None draws none.
        x_ticks: Values to mark on the horizontal axis; None marks decades.
        label: What the chart shows, for those who cannot see it.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points if math.isfinite(y) and y > 0]
    ys += [budget] if budget else []
    low, high = decades(ys or [1.0], narrow=x_ticks is not None)
    x_scale = Log(min(xs), max(xs), LEFT + 8, WIDTH - RIGHT - 8)
    y_scale = Log(low, high, HEIGHT - BOTTOM, TOP)
    parts = [x_axis(x_scale, x_ticks or x_scale.ticks(), x_title, HEIGHT)]
    parts.append(y_axis(y_scale, y_title))
    if budget:
        y = y_scale(budget)
        above = y - 5 if y > TOP + 20 else y + 14
        parts += [
            el("line", class_="limit dashed", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y),
            el("text", "budget", class_="tick", x=LEFT + 6, y=above),
        ]
    parts += [_polyline(line, at, x_scale, y_scale) for at, line in enumerate(lines)]
    keys = el("figcaption", _legend([line.name for line in lines]))
    return el("figure", chart(parts, HEIGHT, label), keys)


def box_chart(boxes: Sequence[Box], x_title: str, label: str) -> Markup:
    """One box for each row, on a common axis from zero: p5 to p95, quartiles, median, p99, max.

    The axis ends a little beyond the largest p95, but at twice the largest p75 at most, so that
    stray runs do not flatten all boxes; a maximum beyond it is an arrow at the edge.
    """
    row = 40.0
    height = TOP + row * len(boxes) + BOTTOM
    end = min(1.3 * max(box.p95 for box in boxes), 2.0 * max(box.p75 for box in boxes))
    scale = Linear(0.0, end or 1.0, 10.0, WIDTH - RIGHT)
    parts = [x_axis(scale, scale.ticks(), x_title, height)]
    parts += [_box(box, scale, TOP + row * at) for at, box in enumerate(boxes)]
    return el("figure", chart(parts, height, label))


def _box(box: Box, scale: Scale, top: float) -> Markup:
    middle = top + 26
    told = (
        f"{box.name}: median {box.p50:.4g}, p5 {box.p5:.4g}, p25 {box.p25:.4g}, "
        f"p75 {box.p75:.4g}, p95 {box.p95:.4g}, p99 {box.p99:.4g}, max {box.max:.4g}"
    )
    edge = WIDTH - RIGHT
    beyond = scale(box.max) > edge
    at = edge - 4 if beyond else scale(box.max)
    most = scale(box.p95) if scale(box.p95) <= edge else edge - 12.0  # before the arrow
    marks = [
        el("title", told),
        el("text", cut(box.name, _LONGEST_NAME), class_="name", x=10.0, y=top + 13),
        el("line", class_="whisker", x1=scale(box.p5), x2=most, y1=middle, y2=middle),
        el(
            "rect",
            class_="box",
            x=scale(box.p25),
            y=middle - 6,
            width=max(scale(box.p75) - scale(box.p25), 1.0),
            height=12.0,
            rx=2.0,
        ),
        _tick(scale(box.p50), middle, 8, "median"),
        _tick(scale(box.p99), middle, 4, "whisker") if scale(box.p99) <= edge else None,
        el("text", "→" if beyond else "·", class_="far", x=at, y=middle + 4, text_anchor="middle"),
    ]
    if box.floor is not None:
        marks.append(_tick(scale(box.floor), middle, 8, "floor"))
    return el("g", *marks)


def _tick(x: float, middle: float, half: float, class_: str) -> Markup:
    return el("line", class_=class_, x1=x, x2=x, y1=middle - half, y2=middle + half)


def _polyline(line: Line, at: int, x_scale: Scale, y_scale: Scale) -> Markup:
    class_ = f"s{at % SERIES}" + (" dashed" if at >= SERIES else "")
    places = [(x_scale(x), y_scale(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = line.marks or ("",) * len(places)
    dots = [
        el(
            "circle",
            el("title", f"{line.name}: {short(value)} at {x_value:g}"),
            class_=f"dot {mark}".strip(),
            cx=x,
            cy=y,
            r=4.5 if mark else 3.0,
        )
        for (x, y), (x_value, value), mark in zip(places, line.points, marks, strict=True)
    ]
    return el("g", el("polyline", points=path), *dots, class_=f"line {class_}")


def _legend(names: Sequence[str]) -> Markup:
    keys = []
    for at, name in enumerate(names):
        stroke = el("line", x1=0.0, x2=22.0, y1=5.0, y2=5.0)
        group = el("g", stroke, class_=f"line s{at % SERIES}{' dashed' if at >= SERIES else ''}")
        key = el("svg", group, viewBox="0 0 22 10", aria_hidden="true")
        keys.append(el("span", key, name, class_="legend"))
    return Markup(" ".join(keys))


def x_axis(scale: Scale, ticks: Sequence[float], title: str, height: float) -> Markup:
    """A horizontal axis at the foot of a chart of this height, with lines up from its ticks."""
    base = height - BOTTOM
    marks = []
    for value in ticks:
        x = scale(value)
        marks.append(el("line", class_="grid", x1=x, x2=x, y1=TOP, y2=base))
        marks.append(
            el("text", _label(value), class_="tick", x=x, y=base + 15, text_anchor="middle")
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    marks.append(el("text", title, class_="axis", x=middle, y=height - 5, text_anchor="middle"))
    return el("g", *marks)


def y_axis(scale: Scale, title: str) -> Markup:
    """A vertical axis at the left of a chart of the usual height, with lines across."""
    marks = []
    for value in scale.ticks():
        y = scale(value)
        marks.append(el("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        marks.append(
            el("text", _label(value), class_="tick", x=LEFT - 6, y=y + 4, text_anchor="end")
        )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f"rotate(-90 11 {middle:g})"
    marks.append(
        el("text", title, class_="axis", x=11.0, y=middle, text_anchor="middle", transform=turned)
    )
    return el("g", *marks)


def _label(value: float) -> str:
    if value == 0 or 1e-2 <= abs(value) < 1e5:
        return f"{value:g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def cut(name: str, longest: int) -> str:
    """A name with its end left out where it is longer than there is room for."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def chart(parts: Sequence[Markup], height: float, label: str) -> Markup:
    """The parts of a chart in their frame.

    Args:
        parts: What it shows, the background first.
        height: Its height, where its width is :data:`WIDTH`.
        label: What the chart shows, for those who cannot see it.
    """
    return el(
        "svg",
        *parts,
        class_="chart",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_label=label,
    )

"""Points between two logarithmic axes, numbered, with a front that joins some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lrn_deploy.report.charts.frame import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    chart,
    x_axis,
    y_axis,
)
from lrn_deploy.report.charts.scales import Log, decades
from lrn_deploy.report.markup import Markup, el

_LETTER, _LINE = 7.0, 12.0
"""Size of a digit of a label."""
_CROWDED = 15.0
"""Area that a label may cover of others, and of points."""
_SIDES = ((9.0, 4.0, "start"), (-9.0, 4.0, "end"), (0.0, -9.0, "middle"), (0.0, 18.0, "middle"))
"""Where a label may stand by its point, the best first: right, left, above, below."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True)
class Spot:
    """One point.

    Attributes:
        label: A short text beside it.
        x: Its place; 0 lies at the left edge.
        y: Its place, above 0.
        class_: Class of its look.
        told: What a browser shows on hovering.
        front: Whether the front runs through it.
    """

    label: str
    x: float
    y: float
    class_: str
    told: str
    front: bool = False


def scatter_chart(
    spots: Sequence[Spot], x_title: str, y_title: str, *, limit: float | None, label: str
) -> Markup:
    """Points over two logarithmic axes.

    Args:
        spots: The points, at least one; where they crowd, the first keep their labels.
        x_title: Title of the horizontal axis.
        y_title: Title of the vertical axis.
        limit: Where to draw a dashed line upwards; None draws none.
        label: What the chart shows, for those who cannot see it.
    """
    xs = [spot.x for spot in spots if spot.x > 0] + ([limit] if limit else [])
    x_scale = Log(*decades(xs or [1.0]), LEFT + 14, WIDTH - RIGHT - 14)
    y_scale = Log(*decades([spot.y for spot in spots], narrow=True), HEIGHT - BOTTOM - 8, TOP + 8)
    parts = [x_axis(x_scale, x_scale.ticks(), x_title, HEIGHT), y_axis(y_scale, y_title)]
    base = HEIGHT - BOTTOM
    if limit:
        x = x_scale(limit)
        parts += [el("line", class_="limit dashed", x1=x, x2=x, y1=TOP, y2=base)]
    places = [(x_scale(spot.x), y_scale(spot.y)) for spot in spots]
    front = sorted(at for at, spot in zip(places, spots, strict=True) if spot.front)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in front)
    parts.append(el("g", el("polyline", points=path), class_="line front"))
    taken = [_around(x, y, 5.0) for x, y in places]
    taken += [_around(x, y, 1.0) for x, y in _along(front)]
    if limit:
        taken.append((x_scale(limit) - 2, TOP, x_scale(limit) + 2, base))
    for spot, (x, y) in zip(spots, places, strict=True):
        radius = 6.0 if spot.class_ == "chosen" else 4.5
        circle = el("circle", class_=f"spot {spot.class_}", cx=x, cy=y, r=radius)
        parts.append(el("g", el("title", spot.told), circle, _label(spot.label, x, y, taken)))
    return el("figure", chart(parts, HEIGHT, label))


def _label(text: str, x: float, y: float, taken: list[Box]) -> Markup:
    """The label on the side where it covers least, which it then takes; none in a crowd."""
    width = _LETTER * len(text)
    options = []
    for dx, dy, anchor in _SIDES:
        left = x + dx - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        box = (left, y + dy - _LINE + 2, left + width, y + dy)
        options.append((sum(_overlap(box, other) for other in taken), dx, dy, anchor, box))
    covered, dx, dy, anchor, box = min(options, key=lambda option: option[0])
    if covered > _CROWDED:
        return Markup()
    taken.append(box)
    return el("text", text, class_="name", x=x + dx, y=y + dy, text_anchor=anchor)


def _around(x: float, y: float, half: float) -> Box:
    return (x - half, y - half, x + half, y + half)


def _along(path: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places along a path, 24 on each of its lines."""
    return [
        (x + part * (to_x - x), y + part * (to_y - y))
        for (x, y), (to_x, to_y) in pairwise(path)
        for part in (at / 24 for at in range(25))
    ]


def _overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)

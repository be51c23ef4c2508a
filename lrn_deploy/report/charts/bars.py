"""Horizontal bars, one under the other: a name, a bar, a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrn_deploy.report.charts.frame import WIDTH, chart, cut
from lrn_deploy.report.markup import Markup, el

ROW = 22.0
_NAMES, _VALUES = 138.0, 112.0
"""Width of the names at the left, and of the values behind the longest bar."""
_LONGEST_NAME = 20


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: What stands at its left, cut if it is long.
        length: How long it is; below 0 it is none.
        shown: What stands behind it.
        class_: Class of its colour.
        told: What a browser shows on hovering.
    """

    name: str
    length: float
    shown: str
    class_: str
    told: str


def bar_chart(bars: Sequence[Bar], label: str) -> Markup:
    """Bars from a common start; the longest of them fills the width."""
    longest = max(bar.length for bar in bars) or 1.0
    room = WIDTH - _NAMES - _VALUES
    rows = [_row(bar, at, room / longest) for at, bar in enumerate(bars)]
    return el("figure", chart(rows, ROW * len(bars), label))


def _row(bar: Bar, at: int, unit: float) -> Markup:
    top = ROW * at
    width = max(bar.length, 0.0) * unit
    base = top + 15.5
    return el(
        "g",
        el("title", bar.told),
        el(
            "text",
            cut(bar.name, _LONGEST_NAME),
            class_="name",
            x=_NAMES - 8,
            y=base,
            text_anchor="end",
        ),
        el("rect", class_=f"bar {bar.class_}", x=_NAMES, y=top + 4, width=width, height=ROW - 8),
        el("text", bar.shown, class_="tick", x=_NAMES + width + 6, y=base),
    )

"""Elements of HTML and SVG as strings that are escaped once, where text enters."""

from __future__ import annotations

import html
import math
from typing import Final

LONG: Final = 20
"""Characters from which on the text of a cell may wrap."""


class Markup(str):
    """Text that is markup already. Every other string is escaped when it becomes part of one."""

    __slots__ = ()


Child = str | int | None
"""Text to escape, markup, a number, or None for nothing."""

EMPTY: Final = frozenset({"meta", "br", "col"})
"""Elements of HTML that have no end tag."""


def el(tag: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """One element.

    Args:
        tag: Its name.
        children: What it holds.
        attributes: By name; ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``, and
            one that is None is left out.

    >>> el("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_plain(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in EMPTY:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: Child) -> Markup:
    """Children one after the other, escaped where they are no markup."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(str(child))
            for child in children
            if child is not None
        )
    )


def number(value: float | None, shown: str | None = None) -> Markup:
    """A number as people read it, with its exact value beside it for programs.

    Args:
        value: The number; None is a dash.
        shown: What people read; None takes :func:`short`.
    """
    if value is None:
        return Markup("-")
    return el("data", short(value) if shown is None else shown, value=repr(value))


def short(value: float) -> str:
    """Two significant digits, ``2.4e-07``; infinity and NaN by name.

    >>> short(2.4123e-7), short(0.25), short(float("inf"))
    ('2.4e-07', '0.25', 'inf')
    """
    if not math.isfinite(value):
        return str(value)
    return f"{value:.2g}" if value == 0 or 0.01 <= abs(value) < 100 else f"{value:.1e}"


def milliseconds(seconds: float | None) -> Markup:
    """Seconds shown as milliseconds of three digits; the exact value stays in seconds."""
    if seconds is None:
        return number(None)
    value = 1e3 * seconds
    return number(seconds, f"{value:.0f}" if value >= 100 else f"{value:.3g}")


def table(
    titles: tuple[str, ...], rows: list[tuple[Child, ...]], *, right: tuple[int, ...] = ()
) -> Markup:
    """A table that scrolls sideways where the page is narrow.

    Args:
        titles: Titles of the columns.
        rows: Cells, row by row.
        right: Columns of numbers, which stand at the right.
    """
    sides = ["num" if column in right else None for column in range(len(titles))]
    head = [
        el("th", title, class_=side, scope="col") for title, side in zip(titles, sides, strict=True)
    ]
    body = [
        el(
            "tr",
            *(
                el("td", cell, class_=side or _wrap(cell))
                for cell, side in zip(row, sides, strict=True)
            ),
        )
        for row in rows
    ]
    whole = el("table", el("thead", el("tr", *head)), el("tbody", *body))
    return el("div", whole, class_="scroll", tabindex="0")


def bullets(items: list[Child], class_: str | None = None) -> Markup:
    """A list, or nothing for none."""
    return el("ul", *(el("li", item) for item in items), class_=class_) if items else Markup()


def section(title: str, *children: Child, id_: str | None = None) -> Markup:
    """A section with its heading."""
    return el("section", el("h2", title), *children, id_=id_)


def folded(title: str, *children: Child) -> Markup:
    """Children that show when their title is clicked; printing shows the title only."""
    return el("details", el("summary", title), *children)


def plain_number(value: float) -> str:
    """A coordinate with no more digits than a screen shows."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _wrap(cell: Child) -> str | None:
    """Class of a cell whose text may wrap, since it would make a column too wide."""
    if isinstance(cell, Markup) or not isinstance(cell, str) or len(cell) < LONG:
        return None
    return "long" if len(cell) < 3 * LONG else "long text"


def _plain(value: str | float) -> str:
    return plain_number(value) if isinstance(value, float) else str(value)

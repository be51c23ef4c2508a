"""Elements of HTML and SVG as strings that are escaped once, where text enters."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import Final

LONG: Final = 20
"""Characters from which on the text of a cell does not fit beside others."""


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


def percent(part: float) -> str:
    """A part of 1 in percent: whole ones from 10 on, else of two digits.

    >>> percent(0.2143), percent(0.00123), percent(0.0)
    ('21%', '0.12%', '0%')
    """
    value = 100 * part
    return f"{value:.0f}%" if abs(value) >= 10 or not value else f"{value:.2g}%"


def table(
    titles: tuple[str, ...], rows: list[tuple[Child, ...]], *, right: tuple[int, ...] = ()
) -> Markup:
    """A table whose rows the style sheet stacks as cards where the page is narrow.

    In a card each cell stands beside the title of its column. The roles say what a browser forgets
    of a table once its rows are blocks.

    Args:
        titles: Titles of the columns.
        rows: Cells, row by row; the first of each is what the row is about.
        right: Columns of numbers, which stand at the right.
    """
    sides = ["num" if column in right else None for column in range(len(titles))]
    head = [
        el("th", title, class_=side, scope="col", role="columnheader")
        for title, side in zip(titles, sides, strict=True)
    ]
    body = [
        el(
            "tr",
            el("th", row[0], class_=sides[0], scope="row", role="rowheader"),
            *(
                el("td", cell, class_=side or _length(cell), role="cell", data_title=title)
                for cell, side, title in zip(row[1:], sides[1:], titles[1:], strict=True)
            ),
            role="row",
        )
        for row in rows
    ]
    top = el("thead", el("tr", *head, role="row"), role="rowgroup")
    whole = el("table", top, el("tbody", *body, role="rowgroup"), role="table")
    return el("div", whole, class_="table")


def bullets(items: list[Child], class_: str | None = None) -> Markup:
    """A list, or nothing for none."""
    return el("ul", *(el("li", entry) for entry in items), class_=class_) if items else Markup()


def section(title: str, *children: Child, id_: str | None = None) -> Markup:
    """A section with its heading."""
    return el("section", el("h2", title), *children, id_=id_)


def folded(title: str, *children: Child) -> Markup:
    """Children that show when their title is clicked; printing shows the title only."""
    return el("details", el("summary", title), *children)


def place(artifact: str, backend: str) -> Markup:
    """An artifact and below it, where there is room for one column, what runs it."""
    on = el("span", f"on {backend}", class_="on") if backend else None
    return el("span", artifact, " " if on else None, on, class_="place")


def not_run(title: str, entries: Iterable[tuple[str, str]]) -> Markup:
    """What was not run, folded away: how many of them, and when opened each reason once.

    Args:
        title: What follows the count, ``not checked here``.
        entries: What was not run, and why; nothing is drawn for none.
    """
    found: dict[str, list[str]] = {}
    for name, reason in entries:
        names = found.setdefault(reason or "no reason given", [])
        if name not in names:
            names.append(name)
    if not found:
        return Markup()
    items: list[Child] = [
        el("li", el("b", ", ".join(names)), f": {reason}") for reason, names in found.items()
    ]
    count = sum(len(names) for names in found.values())
    return el("details", el("summary", f"{count} {title}"), el("ul", *items), class_="unrun")


def plain_number(value: float) -> str:
    """A coordinate with no more digits than a screen shows."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _length(cell: Child) -> str | None:
    """Class of a cell that needs the whole width of a card."""
    text = isinstance(cell, str) and not isinstance(cell, Markup)
    return "long" if text and len(str(cell)) >= LONG else None


def _plain(value: str | float) -> str:
    return plain_number(value) if isinstance(value, float) else str(value)

"""Facts and lists of things for people, that read in a terminal of any width."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_UNCUT = 1000
_TEXT = 24
"""Least columns for text of many words, below which a table is not worth drawing."""


@dataclass(frozen=True)
class Column:
    """One property of the things in a list.

    Attributes:
        title: Its name in a table's head.
        label: What stands before its value where there is no head, ``size=`` for instance; empty
            if the value says it.
        wraps: Whether it holds text of many words.
    """

    title: str
    label: str = ""
    wraps: bool = False


def print_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns; long values go on below themselves.

    Args:
        console: Where to.
        facts: Names, empty where a value belongs to the name before, and values.
    """
    from rich.text import Text

    grid = _grid(indent=2)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row("", f"{name}  ", Text(value))
    with _fitting(console):
        console.print(grid)


def print_list(
    console: Console,
    heading: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    alarms: Collection[str] = (),
) -> None:
    """Print a table if it fits the terminal; else each thing in a paragraph under its name.

    A value of ``-`` is not known or does not apply, and no paragraph mentions it.

    Args:
        console: Where to; a file or a pipe takes any width.
        heading: What stands above paragraphs.
        columns: The properties; the first is the things' name.
        rows: A value for each column.
        alarms: Values to print in red.
    """
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    widths = [
        max(map(cell_len, texts))
        for texts in zip([column.title for column in columns], *rows, strict=True)
    ]
    least = [
        min(width, _TEXT) if column.wraps else width
        for column, width in zip(columns, widths, strict=True)
    ]
    with _fitting(console):
        if sum(least) + 3 * len(least) + 1 <= console.width:  # a space on each side, and the lines
            table = Table()
            for column, width in zip(columns, least, strict=True):
                table.add_column(
                    column.title, min_width=width, no_wrap=not column.wraps, overflow="fold"
                )
            for row in rows:
                table.add_row(
                    *(Text(value, style="red" if value in alarms else "") for value in row)
                )
            console.print(table)
            return
        console.print(heading, style="bold")
        for name, *values in rows:
            known = [pair for pair in zip(columns[1:], values, strict=True) if pair[1] != "-"]
            parts = [
                Text(column.label + value, style="red" if value in alarms else "")
                for column, value in known
            ]
            _paragraph(console, Text(name, style="bold"), indent=2)
            _paragraph(console, Text(", ").join(parts), indent=4)


def _paragraph(console: Console, text: Text, *, indent: int) -> None:
    grid = _grid(indent)
    grid.add_column(overflow="fold")
    grid.add_row("", text)
    console.print(grid)


def _grid(indent: int) -> Table:
    """A table without lines whose first column is that much space."""
    from rich.table import Table

    grid = Table.grid()
    grid.add_column(width=indent)
    return grid


@contextmanager
def _fitting(console: Console) -> Iterator[None]:
    """Let a file or a pipe be of any width: what is cut there is lost to whatever reads it."""
    width = console.width
    if not console.is_terminal:
        console.width = _UNCUT
    try:
        yield
    finally:
        console.width = width

"""Tables and numbers as the pages write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

NOTHING = "Nothing here has run on a GPU yet."


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def paragraphs(*parts: str) -> str:
    """Parts with an empty line between them; empty parts are left out."""
    return "\n\n".join(part for part in parts if part)


def error(value: Any) -> str:
    """An error, ``7.0e-04``; what is no finite number is called so."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "not finite"
    return f"{value:.1e}"


def micro(seconds: float | None) -> str:
    """Seconds as whole microseconds; empty for None."""
    return "" if seconds is None else f"{1e6 * seconds:,.0f}"


def times(value: float | None) -> str:
    """A ratio to two or three digits; empty for None."""
    if value is None:
        return ""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def beginning(text: str, longest: int = 330) -> str:
    """What a long message begins with, without paths of files."""
    line = re.sub(r"\S*/\S+", "…", text.splitlines()[0]) if text else ""
    return line if len(line) <= longest else f"{line[:longest].rstrip()} …"


def ranged(values: Iterable[float], form: str) -> str:
    """The least and the most of some numbers."""
    found = sorted(values)
    least, most = (format(value, form) for value in (found[0], found[-1]))
    return least if least == most else f"{least} to {most}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

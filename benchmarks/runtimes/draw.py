"""Draw the chart and the tables in the documentation again from ``results/runtimes.json``.

A table stands between two comments, ``<!-- peers:begin -->`` and ``<!-- peers:end -->`` for the
summary, ``peers-details`` for the rest. A page without them is left alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS
from benchmarks.runtimes.chart import chart
from benchmarks.runtimes.table import details, summary

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "docs" / "performance.md", ROOT / "README.md")
CHART = ROOT / "docs" / "performance.svg"
RESULT = RESULTS / "runtimes.json"


def main() -> int:
    """Draw everything again; 1 if there is no result."""
    if not RESULT.is_file():
        print("There is no result yet: run python -m benchmarks.runtimes first.")
        return 1
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    CHART.write_text(chart(result), encoding="utf-8")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        drawn = redraw(text, result, os.path.relpath(CHART, page.parent))
        if drawn != text:
            page.write_text(drawn, encoding="utf-8")
            print(f"drew the tables of {page.name}")
    return 0


def redraw(text: str, result: Mapping[str, Any] | None, chart_path: str) -> str:
    """A page with its tables as the result has them.

    Args:
        text: The page.
        result: What ``runtimes.json`` holds; None if there is none.
        chart_path: The chart's path from the page.
    """
    text = between(text, "peers", summary(result, chart_path))
    return between(text, "peers-details", details(result))


def between(text: str, name: str, content: str) -> str:
    """``text`` with ``content`` between the two comments of a name, if it has them."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return text
    return f"{before}{begin}\n{content}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())

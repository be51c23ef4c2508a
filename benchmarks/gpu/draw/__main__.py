"""Draw what ran on GPUs into the documentation again.

A part stands between ``<!-- gpu:begin -->`` and ``<!-- gpu:end -->`` of each page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gpu.draw import elsewhere, kernels, overview
from benchmarks.gpu.draw.runs import Card, read_cards
from benchmarks.harness import RESULTS
from benchmarks.runtimes.draw import ROOT, between

RECORDED = RESULTS / "gpu"
MARK = "gpu"
PAGES: dict[Path, Callable[[Sequence[Card]], str]] = {
    ROOT / "docs" / "gpu.md": overview.page,
    ROOT / "docs" / "plugins.md": kernels.page,
    ROOT / "docs" / "support.md": elsewhere.support,
    ROOT / "docs" / "tensorrt.md": elsewhere.tensorrt,
    ROOT / "README.md": elsewhere.summary,
}


def main() -> int:
    """Draw all pages again."""
    cards = read_cards(RECORDED)
    for page, content in PAGES.items():
        text = page.read_text(encoding="utf-8")
        drawn = between(text, MARK, content(cards))
        if drawn != text:
            page.write_text(drawn, encoding="utf-8")
            print(f"drew {page.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

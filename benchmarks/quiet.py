"""Whether the machine had nothing else to do while it was measured."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def quiet(seconds: float = 1.0, limit: float = 0.15) -> dict[str, Any]:
    """Watch for a while, with nothing of our own at work.

    Args:
        seconds: How long.
        limit: Share of the processors that others may use.

    Returns:
        ``busy``, that share, whether it is ``quiet``, and the load averages.
    """
    total, idle = _times()
    time.sleep(seconds)
    later_total, later_idle = _times()
    busy = 1 - (later_idle - idle) / max(1, later_total - total)
    return {"busy": round(busy, 3), "quiet": busy <= limit, "load": os.getloadavg()}


def _times() -> tuple[int, int]:
    """Ticks of all processors so far, and those in which they had nothing to do."""
    fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[:8]), fields[3] + fields[4]

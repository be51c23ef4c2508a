"""Draw the table of servers side by side in docs/serving.md again from what was recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import RESULTS
from benchmarks.runtimes.draw import between
from benchmarks.serve.draw import DETAILS, SERVERS
from benchmarks.serve.side_by_side import OURS, compared, verdicts

FILE = RESULTS / "side_by_side.json"
CALLED = {
    **SERVERS,
    "ray serve": "Ray Serve, its own batching",
    "mlserver": "MLServer",
    "kserve": "KServe's Python server, which does not batch",
}
_FIGURES = {
    "per_second": ("saturated, requests/s", "{:.0f}"),
    "p50_ms": ("p50, ms", "{:.0f}"),
    "p99_ms": ("p99, ms", "{:.0f}"),
    "memory_bytes": ("memory, MiB", "{:.0f}"),
    "cold_start_s": ("cold start, s", "{:.1f}"),
}


def main() -> int:
    """Draw it."""
    text = DETAILS.read_text(encoding="utf-8")
    DETAILS.write_text(between(text, "side-by-side", table(recorded())), encoding="utf-8")
    return 0


def recorded() -> dict[str, Any]:
    """What was measured."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def table(result: Mapping[str, Any]) -> str:
    """Every figure of every server, with its ratio to lrn-server's, and what was asked of them."""
    machine = result["machine"]
    told = compared(dict(result))
    lines = [
        f"[side_by_side.json](../benchmarks/results/{FILE.name}): "
        f"{machine['processor']}, {machine['cores']} cores, the client on the same; "
        f"{result['date']}; the machine was {'' if result['quiet']['quiet'] else 'NOT '}quiet. "
        f"AlexNet in batches of {result['max_batch']} at most. Half load is "
        f"{result['offered_per_second']:.1f} requests a second for all, half of what the slowest "
        "can do; p50 and p99 are at half load. Below a figure stands its ratio to lrn-server's, "
        "with the 95 % interval over rounds:",
        "",
        f"| | {' | '.join(title for title, _ in _FIGURES.values())} |",
        "|---" * (1 + len(_FIGURES)) + "|",
    ]
    for name, called in CALLED.items():
        cells = [_cell(key, told[name][key], name) for key in _FIGURES]
        lines.append(f"| {called} | {' | '.join(cells)} |")
    answers = verdicts({"compared": told})
    sentences = [f"{what}: {'yes' if met else 'no'}" for what, met in answers.items()]
    return "\n".join([*lines, "", f"lrn-server: {'; '.join(sentences)}."])


def _cell(key: str, one: Mapping[str, float], name: str) -> str:
    value = one["value"] / (2**20 if key == "memory_bytes" else 1)
    shown = _FIGURES[key][1].format(value)
    if name == OURS:
        return shown
    spread = f" ({one['low']:.2f} to {one['high']:.2f})" if "low" in one else ""
    return f"{shown}<br>{one['ratio']:.2f}{spread}"


if __name__ == "__main__":
    sys.exit(main())

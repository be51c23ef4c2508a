"""Draw the table of docs/scale.md again from ``results/size.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import RESULTS
from benchmarks.runtimes.draw import ROOT, between

PAGE = ROOT / "docs" / "scale.md"
FILE = RESULTS / "size.json"


def main() -> int:
    """Draw it."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(between(text, "size", drawn(recorded())), encoding="utf-8")
    return 0


def recorded() -> dict[str, Any]:
    """What was measured."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def drawn(result: Mapping[str, Any]) -> str:
    """A table of the levels, and sentences about the rest."""
    machine = result["machine"]
    quiet = "" if result["quiet"]["quiet"] else "NOT "
    lines = [
        f"[size.json](../benchmarks/results/{FILE.name}): {machine['processor']}; "
        f"{result['date']}; the machine was {quiet}quiet. Latencies in ms, by the model, by a "
        "simulation of the same arrivals, and as measured:",
        "",
        "| | requests a second | of the most | slower than profiled | p50 | p99 "
        "| simulated over measured p99 | 95 % of such runs have a p99 of |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for network in result["networks"]:
        called = f"`{network['model']}`, batches of {network['max_batch_size']} at most"
        for level in network["levels"]:
            ratio = level["same_arrivals_simulated_s"]["99"] / level["measured_s"]["99"]
            low, high = level["p99_of_runs_as_long_s"]
            lines.append(
                f"| {called} | {_short(level['rate'])} | {level['share_of_capacity']:.0%} "
                f"| {level['slower_than_profiled']:.2f} "
                f"| {_three(level, '50')} | {_three(level, '99')} | {ratio:.2f} "
                f"| {_short(1e3 * low)} to {_short(1e3 * high)} |"
            )
            called = ""
    lines.append("")
    for network in result["networks"]:
        full = network["saturated"]
        ratio = full["predicted_per_second"] / full["measured_per_second"]
        lines.append(
            f"Saturated, `{network['model']}` should do {full['predicted_per_second']:.4g} "
            f"requests a second at the speed of that moment and did "
            f"{full['measured_per_second']:.4g}, {ratio:.2f} times."
        )
    limits = result["limits"]
    aim = (
        f"The aim is {limits['throughput']:.0%} of throughput, and {limits['p99']:.0%} of p99 for "
        "the same arrivals: "
    )
    off = result["off"]
    lines += ["", aim + (f"missed by {'; '.join(off)}." if off else "everything is within it.")]
    return "\n".join(lines)


def _three(level: Mapping[str, Any], percent: str) -> str:
    kinds = ("predicted_s", "same_arrivals_simulated_s", "measured_s")
    return ", ".join(_short(1e3 * level[kind][percent]) for kind in kinds)


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


if __name__ == "__main__":
    sys.exit(main())

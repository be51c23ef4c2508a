"""Measure, compare, print and write ``results/size.json``; returns 1 if the model is off."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import write_result
from benchmarks.quiet import quiet
from benchmarks.size_check.measure import Cores, levels, overheads, profiled
from lrn_deploy.sizing.service import Overhead

THROUGHPUT, P99 = 0.10, 0.20
"""Parts of the measured value by which the model may be off."""
NETWORKS = {"alexnet": (16, 60.0), "nn4_small2": (16, 25.0), "digits": (16, 10.0)}
"""Rows of the largest batch, and seconds of each level."""
SHARES = (0.3, 0.5, 0.7)


def main() -> int:
    """All networks, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--scale", type=float, default=1.0, help="of all durations")
    options = parser.parse_args()
    cores = Cores.of_this_machine()
    calm = quiet()
    networks = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overhead = overheads(cores, folder, 2 * options.scale)
        for model in options.networks.split(","):
            rows, seconds = NETWORKS[model]
            bundle = profiled(cores, folder, model, rows, 12 * options.scale)
            own = Overhead(**overhead["fitted"])
            networks.append(levels(cores, bundle, rows, SHARES, seconds * options.scale, own))
    result = {
        "what": "lrn-deploy size beside lrn-deploy load: the server with one thread has one core, "
        "the load generator another",
        "quiet": calm,
        "cores": {"server": sorted(cores.server), "client": sorted(cores.client)},
        "limits": {"throughput": THROUGHPUT, "p99": P99},
        "overhead": overhead,
        "networks": networks,
    }
    result["off"] = off(networks)
    file = write_result("size", result)
    _print(result)
    print(f"wrote {file}")
    return 1 if result["off"] else 0


def off(networks: list[dict[str, Any]]) -> list[str]:
    """Where the model is further from the measurement than it may be, a sentence each.

    The p99 of some hundred requests is much a matter of who comes when, so what was measured is
    held against the simulation of these very arrivals; the tests hold the model against the
    simulation. Nor is the number of requests that came a fault of the model's.
    """
    found = []
    for network in networks:
        full = network["saturated"]
        ratio = full["predicted_per_second"] / full["measured_per_second"]
        if abs(ratio - 1) > THROUGHPUT:
            found.append(f"{network['model']}, saturated: {ratio:.2f} times what was measured")
        for level in network["levels"]:
            where = f"{network['model']} at {level['share_of_capacity']:.0%}"
            ratio = level["same_arrivals_simulated_s"]["99"] / level["measured_s"]["99"]
            if abs(ratio - 1) > P99:
                found.append(f"{where}, p99: {ratio:.2f} times what was measured")
            ratio = level["throughput"] / level["offered"]
            if abs(ratio - 1) > THROUGHPUT:
                found.append(f"{where}: {ratio:.2f} of what came was answered")
    return found


def _print(result: dict[str, Any]) -> None:
    if not result["quiet"]["quiet"]:
        print(f"The machine was busy ({result['quiet']['busy']:.0%}): these are not to be trusted.")
    for kind in ("fitted", "assumed"):
        one = result["overhead"][kind]
        print(
            f"overhead {kind}: {1e6 * one['per_request']:.0f} us a request, "
            f"{1e9 * one['per_byte']:.2f} ns a byte, {1e6 * one['per_batch']:.0f} us a batch"
        )
    for network in result["networks"]:
        full = network["saturated"]
        print(
            f"\n{network['model']}, batches of {network['max_batch_size']} at most; saturated: "
            f"predicted {full['predicted_per_second']:.1f}/s, "
            f"measured {full['measured_per_second']:.1f}/s"
        )
        for level in network["levels"]:
            cells = []
            for percent in ("50", "99"):
                three = [
                    1e3 * level[kind][percent]
                    for kind in ("predicted_s", "same_arrivals_simulated_s", "measured_s")
                ]
                cells.append(f"p{percent} {three[0]:.2f}, {three[1]:.2f}, {three[2]:.2f}")
            low, high = (1e3 * end for end in level["p99_of_runs_as_long_s"])
            print(
                f"  {level['share_of_capacity']:.0%}, {level['rate']:.1f}/s: ms by the model, by a "
                f"simulation of these arrivals, measured: {'; '.join(cells)} "
                f"(by chance {low:.2f} to {high:.2f})"
            )
    for sentence in result["off"]:
        print(f"OFF: {sentence}")


if __name__ == "__main__":
    sys.exit(main())

"""Measure, print and write ``results/ray_cluster.json``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import write_result
from benchmarks.load import Load
from benchmarks.quiet import quiet
from benchmarks.ray_cluster import __doc__ as about
from benchmarks.ray_cluster.measure import (
    fronted,
    kill_node,
    kill_one,
    load,
    spread,
    told,
    two_nodes,
    wait_for,
)
from benchmarks.ray_cluster.waiting import WAIT_SECONDS

GAIN = 1.8
ROUNDS = 3


def main() -> int:
    """Returns 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of one replica and two")
    options = parser.parse_args()
    calm = quiet()
    result = measured(options.seconds, options.rounds)
    file = write_result("ray_cluster", {"quiet": calm, **result})
    for name, kept in result["checks"].items():
        print(f"{'yes' if kept else 'NO ':<4}{name}")
    print(f"two replicas: {result['gain']:.2f} times one; wrote {file}")
    return 0 if all(result["checks"].values()) else 1


def measured(seconds: float, rounds: int = ROUNDS) -> dict[str, Any]:
    """All of it.

    Args:
        seconds: Of each load.
        rounds: How often one replica and two are measured.
    """
    from tests.support.image_bundles import colour_bundle

    with tempfile.TemporaryDirectory() as name, two_nodes() as cluster:
        bundle = colour_bundle(Path(name) / "colours").path
        alone, both = [], []
        for _ in range(rounds):
            with fronted(bundle, 1) as one:
                alone.append(_said("one replica", load(one.port, seconds)))
            with fronted(bundle, 2) as two:
                both.append(_said("two replicas", load(two.port, seconds)))
        with fronted(bundle, 2) as two:
            update = _said("update", load(two.port, seconds, two.replicas.deploy))
            spread(two, cluster)
            before = two.front.lost
            node = _said("node killed", load(two.port, seconds, lambda: kill_node(two, cluster)))
            between = two.front.lost
            wait_for(two, 2)
            replica = _said("replica killed", load(two.port, seconds, lambda: kill_one(two)))
            lost = {"node_killed": between - before, "replica_killed": two.front.lost - between}
    gain = sum(one["per_second"] for one in both) / sum(one["per_second"] for one in alone)
    loads = {"update": update, "node_killed": node, "replica_killed": replica}
    fine = {
        name: set(one["statuses"]) == {"200"} and not one["wrong"] for name, one in loads.items()
    }
    return {
        "wait_seconds": WAIT_SECONDS,
        "one_replica": alone,
        "two_replicas": both,
        "gain": gain,
        "sent_again": lost,
        **loads,
        "checks": {
            f"two replicas give {GAIN} times one": gain >= GAIN,
            **{f"{name}: every answer there, and right": kept for name, kept in fine.items()},
        },
    }


def _said(what: str, result: Load) -> dict[str, Any]:
    found = told(result)
    print(f"{what}: {found['per_second']:.1f}/s, {found['statuses']}, {found['wrong']} wrong")
    return found


if __name__ == "__main__":
    sys.exit(main())

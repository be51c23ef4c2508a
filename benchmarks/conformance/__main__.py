"""Ask both servers everything, compare, and write ``results/conformance.json``."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.conformance.compare import EXACT
from benchmarks.conformance.networks import make_networks
from benchmarks.conformance.perf import sweep
from benchmarks.conformance.table import ask_ours, ask_triton, compare, unused
from benchmarks.harness import write_result
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.ours import lrn_server


def main() -> int:
    """Returns 0 if every answer is equal or differs as it should, and perf_analyzer ran."""
    with tempfile.TemporaryDirectory() as name:
        networks = make_networks(Path(name))
        theirs = ask_triton(networks, Path(name) / "triton")
        ours = ask_ours(networks)
        options = ("--threads", "1", "--access-log", "none")
        with lrn_server(networks.digits.path, *options) as server:
            runs = sweep(server, "digits")
    rows = compare(theirs, ours, EXACT)
    verdicts = Counter(row["verdict"] for row in rows)
    not_met = unused(rows)
    file = write_result(
        "conformance",
        {
            "what": "lrn-server and tritonserver 2.51.0 with the same ONNX files, asked the same",
            "peers": [*REQUIREMENTS["triton"], *REQUIREMENTS["perf"]],
            "summary": {
                "rows": len(rows),
                **{verdict: verdicts[verdict] for verdict in ("equal", "allowed", "different")},
                "allowed_but_not_met": not_met,
                "perf_analyzer_failures": sum(_failed(run) for run in runs),
            },
            "rows": [row | {"theirs": theirs.get(row["name"])} for row in rows],
            "perf_analyzer": runs,
        },
    )
    _print(rows, runs)
    print(f"{len(rows)} rows: {verdicts['equal']} equal, {verdicts['allowed']} differ as listed, ")
    print(f"{verdicts['different']} differ; not met: {not_met or 'none'}; wrote {file}")
    failed = verdicts["different"] or not_met or any(map(_failed, runs))
    return 1 if failed else 0


def _failed(run: dict[str, Any]) -> bool:
    return run["exit_code"] != 0 or not run.get("requests_per_second")


def _print(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["verdict"] == "allowed":
            print(f"allowed    {row['name']}: {' '.join(row['reasons'])}")
    for run in runs:
        print(
            f"perf_analyzer {run['protocol']} x{run['concurrency']}: exit {run['exit_code']}, "
            f"{run.get('requests_per_second', 0):.0f}/s"
        )
    for row in rows:
        if row["verdict"] == "different":
            print(f"DIFFERENT  {row['name']}")
            for one in row["differences"][:5]:
                print(f"  {one['path']}: theirs {one['theirs']!r:.200}, ours {one['ours']!r:.200}")


if __name__ == "__main__":
    sys.exit(main())

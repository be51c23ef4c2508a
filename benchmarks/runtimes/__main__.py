"""This project against the runtimes that users would pick, in one interleaved run.

PyTorch (eager and compiled), ONNX Runtime on both of PyTorch's own exports, and OpenVINO (fp32,
bf16, and int8 by NNCF), on AlexNet, GoogLeNet and digits at batches of 1, 8 and 32. Written to
``results/runtimes.json`` with every sample, every candidate's error and every verdict, losses
included.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import write_result
from benchmarks.runtimes.candidates import THREADS
from benchmarks.runtimes.measure import FULL, QUICK, Plan, measure
from benchmarks.runtimes.verdicts import aims, losses
from lrn_deploy.latency.machine import MAX_FOREIGN_CORES

NAME = "runtimes"


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print and write the result; 0 whatever it is, as a loss is a result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtimes", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="digits only, and few rounds")
    parser.add_argument("--output", type=Path, help="where to write it; not needed without --quick")
    given = parser.parse_args(words)
    if given.quick and given.output is None:
        parser.error("--quick is no result to keep: add --output FILE.json")
    result = compare_all(QUICK if given.quick else FULL)
    show(result)
    name = NAME if given.output is None else str(given.output.resolve().with_suffix(""))
    print(f"wrote {write_result(name, result).name}")
    return 0


def compare_all(plan: Plan) -> dict[str, Any]:
    """Measure the networks of a plan one after the other."""
    started, load = time.monotonic(), os.getloadavg()
    networks = [measure(name, plan, lambda text: print(text, flush=True)) for name in plan.networks]
    cells = [batch for network in networks for batch in network["batches"]]
    return {
        "what": f"whole networks on the CPU, {THREADS} threads, in turns, seconds of each run",
        "seconds": round(time.monotonic() - started, 1),
        "load": {
            "average_before": load,
            "average_after": os.getloadavg(),
            "quiet_is_foreign_cores_of_at_most": MAX_FOREIGN_CORES,
            "quiet_runs": sum(cell["quiet"] for cell in cells),
            "runs": len(cells),
        },
        "aims": aims(networks),
        "losses": losses(networks),
        "networks": networks,
    }


def show(result: dict[str, Any]) -> None:
    """Print what was chosen and every verdict."""
    for network in result["networks"]:
        for row in network["candidates"]:
            if "reason" in row:
                print(f"{network['network']}: {row['name']} did not run: {row['reason']}")
        for batch in network["batches"]:
            times = {row["candidate"]: row["ms_per_image"]["median"] for row in batch["timings"]}
            title = f"{network['network']}, batch {batch['batch']}"
            print(f"\n{title}{'' if batch['quiet'] else ', NOT QUIET'}, ms per image")
            for name, value in sorted(times.items(), key=lambda item: item[1]):
                print(f"  {value:9.4f}  {name}")
            for class_ in batch["classes"]:
                print(
                    f"  {class_['class']}: {class_['ours'] or 'none of ours is within the error'}"
                )
                for row in class_.get("verdicts", ()):
                    speedup = row["speedup"]
                    print(
                        f"    {row['verdict']:<14} {speedup['estimate']:5.2f} "
                        f"({speedup['low']:.2f} to {speedup['high']:.2f}) x {row['peer']}"
                    )
    for aim in result["aims"]:
        print(
            f"{'met   ' if aim['met'] else 'MISSED'} {aim['network']} {aim['class']} batch "
            f"{aim['batch']} against {aim['peer']}: {aim['speedup']['estimate']:.2f}, "
            f"aim {aim['aim']}"
        )


if __name__ == "__main__":
    sys.exit(main())

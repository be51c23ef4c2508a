"""``lrn-deploy load`` beside perf_analyzer, Triton's own load generator: do they measure the same?

Both load the same lrn-server, in turns of one run: a closed loop of so many at a time, by HTTP and
by gRPC. Each round is one turn of each, neighbours in time; which goes first alternates. A turn is
one measured window after a warm-up. What is compared is the ratio of the two in each round, and of
all rounds the median with its 95 % interval. ``results/load.json`` has every turn.

perf_analyzer measures until its last three windows agree. It is told to be content with any three,
which together are as long as our window.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import write_result
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.ours import lrn_server
from benchmarks.peers.processes import Server
from benchmarks.peers.triton import perf_analyzer
from benchmarks.quiet import quiet
from lrn_deploy.cli import run
from lrn_deploy.latency.statistics import MIN_ROUNDS, ratio_interval
from lrn_deploy.load.load import load
from lrn_deploy.load.options import LoadOptions

LIMIT = 0.05
CONCURRENCY = 4
FIGURES = ("per_second", "p50_s", "p90_s", "p99_s")
JUDGED = ("per_second", "p99_s")
_WINDOWS = 3
"""perf_analyzer takes as many at least, and reports all of them together."""
Turn = dict[str, float]


def main() -> int:
    """Measure, print and write; returns 1 if they differ by more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one turn")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY)
    parser.add_argument(
        "--delay-us",
        type=int,
        default=0,
        help="let requests wait so long for company: answers then take time, but no processor",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / options.model
        if run(["export", options.model, "--input", "uint8", "-o", str(bundle)]) != 0:
            return 1
        batching = ("--batching", "fixed", "--max-queue-delay-us", str(options.delay_us))
        chosen = batching if options.delay_us else ()
        with lrn_server(bundle, "--access-log", "none", *chosen) as server:
            result = measure(server, options, folder)
    file = write_result("load", result)
    for protocol, part in result["protocols"].items():
        for figure, told in part["ratios"].items():
            print(
                f"{protocol} {figure}: ours over perf_analyzer's {told['estimate']:.3f} "
                f"(95 %: {told['low']:.3f} to {told['high']:.3f})"
            )
    print(f"wrote {file}")
    return 0 if result["agree"] else 1


def measure(server: Server, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both generators in turns, over both protocols.

    Args:
        server: That has the model.
        options: ``model``, ``rounds``, ``seconds`` and ``concurrency``.
        folder: Where perf_analyzer's reports go.
    """
    program, env = perf_analyzer(folder)
    protocols = {}
    for protocol in ("http", "grpc"):
        address = server.http if protocol == "http" else server.grpc

        def theirs(protocol: str = protocol, address: str = address) -> Turn:
            return _theirs(program, env, protocol, address, options, folder / "perf.csv")

        def ours(protocol: str = protocol, address: str = address) -> Turn:
            return _ours(f"{protocol}://{address}", options)

        protocols[protocol] = _rounds(ours, theirs, options.rounds)
    agree = all(
        abs(part["ratios"][figure]["estimate"] - 1) <= LIMIT
        for part in protocols.values()
        for figure in JUDGED
    )
    return {
        "what": "lrn-deploy load and perf_analyzer against the same lrn-server, in turns",
        "peers": list(REQUIREMENTS["perf"]),
        "model": options.model,
        "concurrency": options.concurrency,
        "delay_us": options.delay_us,
        "seconds": options.seconds,
        "limit": LIMIT,
        "agree": agree,
        "protocols": protocols,
    }


def _rounds(ours: Callable[[], Turn], theirs: Callable[[], Turn], count: int) -> dict[str, Any]:
    """So many rounds, each with a look at what else the machine has to do before it."""
    ours()  # warm
    calm, mine, others = [], [], []
    for at in range(max(count, MIN_ROUNDS)):
        calm.append(quiet(0.5))
        if at % 2:
            others.append(theirs())
            mine.append(ours())
        else:
            mine.append(ours())
            others.append(theirs())
    ratios = {}
    for figure in FIGURES:
        pair = [[[turn[figure]] for turn in turns] for turns in (mine, others)]
        interval = ratio_interval(*pair)
        ratios[figure] = {
            "low": interval.low,
            "estimate": interval.estimate,
            "high": interval.high,
        }
    return {
        "quiet": calm,
        "busy_median": float(np.median([one["busy"] for one in calm])),
        "ours": mine,
        "perf_analyzer": others,
        "ratios": ratios,
    }


def _ours(url: str, options: argparse.Namespace) -> Turn:
    asked = LoadOptions(
        concurrency=options.concurrency,
        model=options.model,
        duration=options.seconds,
        warmup=1.0,
        timeout=60.0,
    )
    (step,) = load(url, asked).steps
    if step.errors or step.latency is None or step.latency.p90 is None:
        raise RuntimeError(f"'{url}' did not answer as it should: {step.errors}")
    latency = step.latency
    return {
        "per_second": step.throughput,
        "p50_s": latency.p50,
        "p90_s": latency.p90 or latency.max,
        "p99_s": latency.p99 or latency.max,
        "generator_busy": step.generator.busy,
    }


def _theirs(
    program: Path,
    env: dict[str, str],
    protocol: str,
    address: str,
    options: argparse.Namespace,
    report: Path,
) -> Turn:
    report.unlink(missing_ok=True)
    command = [
        program,
        *("-m", options.model, "-i", protocol, "-u", address, "-b", "1", "-f", report),
        *("--concurrency-range", str(options.concurrency)),
        *("--measurement-interval", str(int(1e3 * options.seconds / _WINDOWS))),
        *("--max-trials", str(_WINDOWS + 1), "--stability-percentage", "999"),
    ]
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60 + 10 * options.seconds,
    )
    if not report.exists():
        raise RuntimeError(f"perf_analyzer failed:\n{(done.stdout + done.stderr)[-2000:]}")
    with report.open() as stream:
        line = next(iter(csv.DictReader(stream)))
    return {
        "per_second": float(line["Inferences/Second"]),
        **{f"{name}_s": float(line[f"{name} latency"]) / 1e6 for name in ("p50", "p90", "p99")},
    }


if __name__ == "__main__":
    sys.exit(main())

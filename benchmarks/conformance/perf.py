"""perf_analyzer, Triton's own load generator, unchanged, against lrn-server."""

from __future__ import annotations

import csv
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Server
from benchmarks.peers.triton import perf_analyzer

CONCURRENCIES = (1, 4, 16)
_WINDOW_MS = 1500  # here it is to run without an error; how fast it goes is measured elsewhere


def sweep(server: Server, model: str) -> list[dict[str, Any]]:
    """Run perf_analyzer over HTTP and gRPC at several concurrencies.

    Returns:
        A row for each run: its exit code, and rates and latencies as perf_analyzer reports them;
        with what it said, if it failed.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, env = perf_analyzer(folder)
        for protocol, address in (("http", server.http), ("grpc", server.grpc)):
            for concurrency in CONCURRENCIES:
                report = folder / f"{protocol}-{concurrency}.csv"
                done = subprocess.run(
                    [
                        program,
                        *("-m", model, "-i", protocol, "-u", address, "-b", "1"),
                        *("--concurrency-range", str(concurrency), "-f", report),
                        *("--measurement-interval", str(_WINDOW_MS), "--max-trials", "4"),
                        *("--stability-percentage", "999"),
                    ],
                    env={**os.environ, **env},
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                row: dict[str, Any] = {"protocol": protocol, "concurrency": concurrency}
                row["exit_code"] = done.returncode
                measured = _read(report)
                if measured:
                    row |= measured
                if done.returncode or not measured:
                    row["said"] = (done.stdout + done.stderr)[-2000:]
                rows.append(row)
    return rows


def _read(report: Path) -> dict[str, float]:
    """Some columns of perf_analyzer's report; empty if there is none."""
    if not report.exists():
        return {}
    with report.open() as stream:
        line = next(iter(csv.DictReader(stream)), None)
    if line is None:
        return {}
    return {
        "requests_per_second": float(line["Inferences/Second"]),
        "server_queue_us": float(line["Server Queue"]),
        "server_compute_us": float(line["Server Compute Infer"]),
        "p50_us": float(line["p50 latency"]),
        "p99_us": float(line["p99 latency"]),
    }

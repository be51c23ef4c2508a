"""Fuzz a real server, and write what came of it to ``results/server_fuzz.json``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fuzz_server import __doc__ as about
from benchmarks.fuzz_server.grpc_tries import grpc_try
from benchmarks.fuzz_server.http_tries import http_try
from benchmarks.fuzz_server.known import OTHER
from benchmarks.fuzz_server.run import Tally, Target, checks, fuzz_grpc, fuzz_http, http_outcome
from benchmarks.fuzz_server.wire import Line
from benchmarks.harness import write_result
from benchmarks.usage import usage

HTTP_COUNT, GRPC_COUNT = 100_000, 20_000
SEED = 20
_WARM = 0.05
"""Part of the tries, of another seed, that come before the memory is looked at."""
_CLOSING_SECONDS = 2.0
"""In which connections that were left are seen to have been."""


def main() -> int:
    """Try them all; returns 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--http", type=int, default=HTTP_COUNT, help="requests by HTTP")
    parser.add_argument("--grpc", type=int, default=GRPC_COUNT, help="requests by gRPC")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", type=int, help="show this request by HTTP, and its answer")
    parser.add_argument("--only-grpc", type=int, help="show this request by gRPC")
    options = parser.parse_args()
    if options.only_grpc is not None:
        print(grpc_try(options.seed, options.only_grpc))
        return 0
    if options.only is not None:
        one = http_try(options.seed, options.only)
        print(one.kind, one.data, sep="\n")
        with served() as (target, _):
            print(*http_outcome(target.http_port, Line(target.http_port), one), sep="\n")
        return 0
    result = fuzz(options.seed, options.http, options.grpc)
    file = write_result("server_fuzz", result)
    for kind, counts in result["counts"].items():
        print(f"{kind:<22}", *(f"{told}: {count}" for told, count in counts.items()))
    for name, check in result["checks"].items():
        print(f"{'yes' if check['kept'] else 'NO ':<4}{name}: {check['measured']}")
    print(f"wrote {file}")
    return 0 if all(check["kept"] for check in result["checks"].values()) else 1


@contextmanager
def served(leak: str = "", *, warm: bool = False) -> Iterator[tuple[Target, Any]]:
    """A real server of two models, and the process that it is.

    Args:
        leak: What it leaks; see :mod:`benchmarks.soak.leaky`.
        warm: Whether it may be forked; see :func:`tests.support.servers.serving`.
    """
    from tests.support.image_bundles import colour_bundle
    from tests.support.servers import START, serving

    start = [sys.executable, "-m", "benchmarks.soak.leaky", leak] if leak else START
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for one in ("colours", OTHER):
            colour_bundle(folder / one)
        with serving(
            *(folder / "colours", f"{OTHER}={folder / OTHER}", "--model-control"),
            *("--threads", "1", "--max-batch-size", "8", "--access-log", "errors"),
            *("--max-body-bytes", "200000", "--max-images", "3", "--max-pixels", "100000"),
            start=start,
            warm=warm,
        ) as running:
            ports = running.ports["http_port"], running.ports["grpc_port"]
            yield Target(*ports, partial(usage, running.process.pid)), running


def fuzz(seed: int, http: int, grpc: int) -> dict[str, Any]:
    """Send so many requests of a seed to a server of their own.

    Returns:
        What is written to the results.
    """
    tally = Tally()
    started = time.monotonic()
    with served() as (target, running):
        warm = Tally()
        fuzz_http(target, seed + 1, range(int(http * _WARM)), warm)
        fuzz_grpc(target, seed + 1, range(int(grpc * _WARM)), warm)
        before = target.usage()
        fuzz_http(target, seed, range(http), tally)
        fuzz_grpc(target, seed, range(grpc), tally)
        until = time.monotonic() + _CLOSING_SECONDS
        while (after := target.usage()).files > before.files and time.monotonic() < until:
            time.sleep(0.05)
        alive = running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        ended = running.finish()
        traces = running.said().count("Traceback")
    tally.wrong, tally.wrongs = warm.wrong + tally.wrong, warm.wrongs + tally.wrongs
    found = checks(tally, before, after) | {
        "alive, and ends as asked": (alive and ended == 0, ended),
        "no traceback in its log": (not traces, traces),
    }
    return {
        "seed": seed,
        "tried": {"http": http, "grpc": grpc},
        "seconds": round(time.monotonic() - started, 1),
        "counts": {kind: dict(sorted(told.items())) for kind, told in sorted(tally.counts.items())},
        "slowest_s": round(tally.slowest, 3),
        "memory_bytes": {
            "before": before.resident,
            "most": max(tally.memory),
            "after": after.resident,
        },
        "wrong": tally.wrong,
        "checks": {name: {"kept": kept, "measured": what} for name, (kept, what) in found.items()},
    }


if __name__ == "__main__":
    sys.exit(main())

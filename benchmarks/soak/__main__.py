"""Soak a real server, and write what it held to ``results/soak.json``."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import write_result
from benchmarks.soak import __doc__ as about
from benchmarks.soak.leaky import LEAKS
from benchmarks.soak.mixture import Asking, mixture
from benchmarks.soak.slope import RESAMPLES, slope
from benchmarks.usage import Usage, usage

SECONDS = 600.0
EVERY = 1.0
"""Seconds between two samples."""
BLOCK = 30
"""Samples that are drawn together; see :mod:`.slope`. Garbage is collected more often than that."""
SETTLING = 0.1
"""Part of the samples, at the beginning, that is left out: pools fill, caches are cold."""
RAMP = (1, 2, 4, 8, 16)
"""Connections by HTTP whose rates are measured."""
RAMP_SECONDS = 2.0
BOUNDS = {"memory_bytes": 16 * 2**20, "files": 6, "threads": 6}
"""Per hour: at a thousand requests a second, five bytes a request; one file in ten minutes."""


@dataclass
class Samples:
    """What a server held, and when, in seconds from the start."""

    moments: list[float] = field(default_factory=list)
    held: list[Usage] = field(default_factory=list)

    def series(self) -> dict[str, list[int]]:
        """Each quantity by its name."""
        return {
            "memory_bytes": [one.resident for one in self.held],
            "files": [one.files for one in self.held],
            "threads": [one.threads for one in self.held],
        }


def main() -> int:
    """Soak, print and write; returns 1 unless all is steady and every answer was right."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument(
        "--leak", choices=LEAKS, action="append", help="plant a leak; nothing is written then"
    )
    options = parser.parse_args()
    leak = "+".join(options.leak or ())
    result = soak(options.seconds, leak=leak)
    for name, told in result["slopes"].items():
        print(
            f"{told['verdict']:<8}{name}: {told['per_hour']:+,.0f} an hour, 95 % from "
            f"{told['low']:+,.0f} to {told['high']:+,.0f}; at most {told['bound']:,}"
        )
    print(f"{result['asked']}, {result['faults'] or 'no faults'}, exit code {result['exit_code']}")
    if not leak:
        print(f"wrote {write_result('soak', result)}")
    return 0 if result["kept"] else 1


def soak(
    seconds: float,
    *,
    leak: str = "",
    every: float = EVERY,
    block: int = BLOCK,
    ramp: Sequence[int] = RAMP,
    ramp_seconds: float = RAMP_SECONDS,
    warm: bool = False,
) -> dict[str, Any]:
    """Ask a server half of what it can do.

    Args:
        seconds: How long.
        leak: What is planted; see :mod:`.leaky`.
        every: Seconds between two samples.
        block: See :func:`slope`.
        ramp: Connections whose rates are measured first.
        ramp_seconds: How long each of them is.
        warm: Whether the server may be forked; see :func:`tests.support.servers.serving`.

    Returns:
        What is written to the results.
    """
    from tests.support.image_bundles import colour_bundle
    from tests.support.servers import START, serving

    start = [sys.executable, "-m", "benchmarks.soak.leaky", leak] if leak else START
    options = ("--threads", "1", "--max-batch-size", "8", "--access-log", "errors")
    with tempfile.TemporaryDirectory() as name:
        colour_bundle(Path(name, "colours"))
        with serving(Path(name, "colours"), *options, start=start, warm=warm) as running:
            ports = running.ports["http_port"], running.ports["grpc_port"]
            rates = {
                count: mixture(ports, seconds=ramp_seconds, connections=count).rates
                for count in ramp
            }
            most = max(rates.values(), key=sum)
            samples, asking = _watched(running.process.pid, ports, seconds, every, most)
            running.process.send_signal(signal.SIGTERM)
            ended = running.finish()
    slopes = slopes_of(samples, block)
    return {
        "seconds": seconds,
        "planted": leak,
        "ramp_per_second": {
            str(count): [round(one) for one in two] for count, two in rates.items()
        },
        "load_per_second": [round(one / 2) for one in most],
        "asked": {
            "http": {str(status): n for status, n in sorted(asking.http.statuses.items())},
            "grpc": dict(sorted(asking.calls.items())),
            "left_half_way": asking.left,
        },
        "faults": asking.faults,
        "exit_code": ended,
        "method": f"Theil-Sen of pairs half the time apart, blocks of {block} samples, 95 %",
        "slopes": slopes,
        "kept": not asking.faults
        and ended == 0
        and all(told["verdict"] == "steady" for told in slopes.values()),
        "samples": {"seconds": [round(one, 2) for one in samples.moments], **samples.series()},
    }


def slopes_of(
    samples: Samples, block: int, *, resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Each quantity's slope per hour, its interval and verdict, without the first samples."""
    first = int(len(samples.moments) * SETTLING)
    moments = np.array(samples.moments[first:])
    return {
        name: slope(
            moments, np.array(values[first:], float), block=block, resamples=resamples
        ).told(BOUNDS[name])
        for name, values in samples.series().items()
    }


def _watched(
    pid: int, ports: tuple[int, int], seconds: float, every: float, most: tuple[float, float]
) -> tuple[Samples, Asking]:
    """Half of the load, and what the server holds meanwhile."""
    samples, stop = Samples(), threading.Event()
    started = time.monotonic()

    def watch() -> None:
        while not stop.wait(every):
            samples.moments.append(time.monotonic() - started)
            samples.held.append(usage(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        half = most[0] / 2, most[1] / 2
        asking = mixture(ports, seconds=seconds, connections=8, per_second=half)
    finally:
        stop.set()
        watching.join()
    return samples, asking


if __name__ == "__main__":
    sys.exit(main())

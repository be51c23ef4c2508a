"""lrn-server at three times what it can do.

AlexNet in fp32 with uint8 pictures. First as many clients as fill its batches, each asking again
when answered: the most it can do. Then three times as many requests as that, whatever becomes of
them, and at last one client, which waits for its first answer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.harness import write_result
from benchmarks.load import Load, drive, infer, only_right
from benchmarks.peers.ours import lrn_server
from benchmarks.peers.processes import Server
from benchmarks.quiet import quiet
from lrn_deploy.bundle import Bundle
from lrn_deploy.cli import run

FACTOR = 3
QUEUE = 32
MAX_BATCH = 8
TOLERANCE = 1e-3
GOODPUT = 0.9
GROWTH_BYTES = 50 * 2**20
RECOVERY_SECONDS = 2.0

Array = NDArray[Any]


def main() -> int:
    """Measure, print and write ``results/overload.json``; returns 1 if a limit was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bundle"
        if run(["export", options.model, "--input", "uint8", "-o", str(path)]) != 0:
            return 1
        calm = quiet()
        result = measure(Bundle.open(path), options.seconds)
    file = write_result("overload", {"quiet": calm, "model": options.model, **result})
    for name, value in result["checks"].items():
        print(f"{'yes' if value['kept'] else 'NO ':<4}{name}: {value['measured']}")
    print(f"wrote {file}")
    return 0 if all(value["kept"] for value in result["checks"].values()) else 1


def measure(bundle: Bundle, seconds: float, *, max_seconds: float = 10.0) -> dict[str, Any]:
    """Overload a server that has this bundle.

    Args:
        bundle: With one input and one output.
        seconds: How long it is overloaded.
        max_seconds: How long the most that it can do is measured, before and after.
    """
    graph = bundle.path / "model.onnx"
    pictures, expected = _pictures(graph)
    name = bundle.manifest.model.name
    requests = [infer(name, bundle.manifest.inputs[0].name, one[None]) for one in pictures]
    right = only_right(expected, TOLERANCE)
    with lrn_server(
        bundle.path,
        *("--max-batch-size", str(MAX_BATCH), "--max-queue-requests", str(QUEUE)),
        *("--access-log", "none"),
    ) as server:

        def most() -> Load:
            return drive(
                server.http_port,
                requests,
                connections=2 * MAX_BATCH,
                seconds=max_seconds,
                right=right,
            )

        most()  # warm
        before = most()
        memory = _Memory(server)
        offered = FACTOR * before.per_second
        over = drive(
            server.http_port,
            requests,
            connections=2 * (QUEUE + MAX_BATCH),
            seconds=seconds,
            per_second=offered,
            right=right,
        )
        recovered = _recovery(server, requests[0], before.quantile(50))
        grown = memory.stop()
        after = most()
    unclean = {str(key): count for key, count in over.statuses.items() if key not in (200, 503)}
    best = max(before.per_second, after.per_second)
    goodput = over.per_second / best
    checks = {
        f"goodput at least {GOODPUT:.0%} of the maximum": (goodput >= GOODPUT, round(goodput, 3)),
        "every answer right": (over.wrong == 0, over.wrong),
        "every refusal a clean 503": (
            not (unclean or over.unclear),
            {"refused": over.statuses[503], "unclear": over.unclear, "others": unclean},
        ),
        f"memory grows by at most {GROWTH_BYTES >> 20} MiB": (grown <= GROWTH_BYTES, grown),
        f"answers a client within {RECOVERY_SECONDS} s": (
            recovered < RECOVERY_SECONDS,
            round(recovered, 3),
        ),
    }
    return {
        "max_batch": MAX_BATCH,
        "queue_requests": QUEUE,
        "overload_seconds": seconds,
        "offered_per_second": offered,
        "maximum_per_second": {"before": before.per_second, "after": after.per_second},
        "goodput_per_second": over.per_second,
        "statuses": {str(key): count for key, count in over.statuses.items()},
        "latency_s": {str(q): over.quantile(q) for q in (50, 99, 100)},
        "longest_refusal_s": over.longest_refusal,
        "client_cpu_share": over.cpu_seconds / over.seconds,
        "memory_bytes": memory.samples,
        "recovery_s": recovered,
        "checks": {
            name: {"kept": bool(kept), "measured": value} for name, (kept, value) in checks.items()
        },
    }


def _pictures(graph: Path) -> tuple[Array, Array]:
    """Some pictures, and what a session of one's own answers to each alone."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    shape = (8, *spec.shape[1:])
    pictures = np.random.default_rng(9).integers(0, 256, shape).astype(np.uint8)
    pictures[::2] //= 3  # some dark ones, whose scores are far from the others'
    return pictures, np.concatenate(
        [session.run(None, {spec.name: one[None]})[0] for one in pictures]
    )


def _recovery(server: Server, request: bytes, usual: float) -> float:
    """Seconds until a lone client gets an answer, in no more than twice the usual time."""
    started = time.monotonic()
    while time.monotonic() - started < 10 * RECOVERY_SECONDS:
        one = drive(server.http_port, [request], connections=1, seconds=0.001)
        if one.statuses[200] and one.latencies[0] <= 2 * usual:
            break
        time.sleep(0.02)
    return time.monotonic() - started


class _Memory:
    """Looks at a server's memory twice a second."""

    def __init__(self, server: Server) -> None:
        self.samples: list[int] = []
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """Bytes by which the last quarter's median is above the second one's."""
        self._stop.set()
        self._thread.join()
        quarters = np.array_split(self.samples, 4)
        return int(np.median(quarters[3]) - np.median(quarters[1]))

    def _watch(self) -> None:
        while not self._stop.wait(0.5 if len(self.samples) > 8 else 0.1):
            self.samples.append(self._server.memory_bytes())


if __name__ == "__main__":
    sys.exit(main())

"""Two checkouts against each other: a request's processor time, export, ``--help``, import.

``python -m benchmarks.house BEFORE AFTER`` measures both in turns, each with this interpreter and
its own code before the installed one, and writes ``results/house.json`` with every sample. A ratio
is that of AFTER over BEFORE, the median of the rounds' ratios with its 95 % interval.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import write_result
from benchmarks.load import drive, infer
from benchmarks.peers.processes import Server, free_ports, running
from benchmarks.quiet import quiet
from lrn_deploy.latency.statistics import MIN_ROUNDS, judge, ratio_interval

LIMIT = 0.05
CONCURRENCIES = (1, 4, 16)
ROWS: dict[str, NDArray[Any]] = {  # what a do-nothing network is asked: the type and shape of a row
    "nothing-155k": np.zeros((1, 227, 227, 3), np.uint8),
    "nothing-618k": np.zeros((1, 3, 227, 227), np.float32),
}
MODELS = ("alexnet", "digits")
RUNS = {"help": ["-m", "lrn_deploy", "--help"], "import": ["-c", "import lrn_deploy"]}
SECONDS = {"serve": 130.0, "alexnet": 80.0, "digits": 45.0, "help": 20.0, "import": 10.0}
"""How long each part goes on, but for :data:`MIN_ROUNDS`; 6 minutes with what comes before."""
BURST_SECONDS = 0.4
_SETTLE_SECONDS = 0.05
_MAKE = """
from pathlib import Path
from benchmarks.serve.networks import nothing
for floats in (False, True):
    nothing(Path(), floats=floats)
"""

_EXPORT = """
import sys, time, torch
from lrn_deploy.cli import run
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    began, used = time.perf_counter(), time.process_time()
    code = run(line.split())
    print(code, time.perf_counter() - began, time.process_time() - used, file=answers, flush=True)
"""

Samples = dict[str, dict[str, list[float]]]
"""Of each measure, of ``before`` and ``after``, one sample a round."""


@dataclass(frozen=True)
class Checkout:
    """One of the two.

    Attributes:
        side: ``before`` or ``after``.
        path: Its folder.
    """

    side: str
    path: Path

    @property
    def env(self) -> dict[str, str]:
        """Variables with which this interpreter runs its code."""
        return {**os.environ, "PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": ""}

    def run(self, arguments: Sequence[str | Path], folder: Path) -> tuple[float, float]:
        """Run Python in ``folder``; seconds by the clock and of the processor, children included.

        Raises:
            RuntimeError: If it fails; with what it said.
        """
        command = [sys.executable, *map(str, arguments)]
        with tempfile.TemporaryFile("w+") as log:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self.env, cwd=folder)
            _, status, used = os.wait4(process.pid, 0)
            took = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                log.seek(0)
                raise RuntimeError(f"{self.side}: {arguments} failed:\n{log.read()[-4000:]}")
        return took, used.ru_utime + used.ru_stime

    def check(self, folder: Path) -> None:
        """Refuse to measure other code than this checkout's."""
        code = "import lrn_deploy, sys; assert lrn_deploy.__file__.startswith(sys.argv[1])"
        self.run(["-c", code, f"{self.path}{os.sep}"], folder)

    @property
    def commit(self) -> str:
        """Its commit, with a mark if its files are others; empty outside of git."""
        command = ["git", "-C", str(self.path), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def measured(
    before: Path, after: Path, seconds: Mapping[str, float], burst: float = BURST_SECONDS
) -> Samples:
    """Every sample of the parts that ``seconds`` names, for so long each.

    Args:
        before: A checkout.
        after: The other; both the same shows what the noise is.
        seconds: How long each part goes on, though not for less than :data:`MIN_ROUNDS` rounds.
        burst: Seconds of load in which a server is measured once.
    """
    both = (Checkout("before", before.resolve()), Checkout("after", after.resolve()))
    samples: Samples = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for one in both:
            one.check(folder)
        if "serve" in seconds:
            both[0].run(["-c", _MAKE], folder)  # by the elder, whose manifest both can read
            with _servers(both, folder) as servers:
                _rounds(samples, both, seconds["serve"], _bursts(servers, burst))
        for part in [part for part in MODELS if part in seconds]:
            with _exporters(both, folder) as exporters:
                _rounds(samples, both, seconds[part], _exports(part, exporters))
        for part in [part for part in RUNS if part in seconds]:
            _rounds(samples, both, seconds[part], _runs(part, folder))
    return samples


Turn = Callable[[Checkout], Iterator[tuple[str, float]]]
"""One turn of a checkout: what was measured, and the sample."""


def _rounds(samples: Samples, both: tuple[Checkout, Checkout], seconds: float, turn: Turn) -> None:
    """Let both take turns, the first of a round second in the next; the first round only warms."""
    for at in range(-1, 10_000):
        if at == 0:
            until = time.monotonic() + seconds
        if at >= MIN_ROUNDS and time.monotonic() > until:
            return
        order = both if at % 2 else both[::-1]
        for measures in zip(*(turn(one) for one in order), strict=True):
            for one, (name, value) in zip(order, measures, strict=True):
                if at >= 0:
                    samples.setdefault(name, {}).setdefault(one.side, []).append(value)


def _runs(part: str, folder: Path) -> Turn:
    """Whole processes: what one takes by the clock and of the processor."""

    def turn(one: Checkout) -> Iterator[tuple[str, float]]:
        took, used = one.run(RUNS[part], folder)
        yield f"{part}, wall s", took
        yield f"{part}, processor s", used

    return turn


@contextmanager
def _exporters(
    both: Sequence[Checkout], folder: Path
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A process of each that exports what it is told; it waits meanwhile, PyTorch imported."""
    with ExitStack() as stack, (folder / "exporters.log").open("w") as log:
        yield {
            one.side: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _EXPORT],
                    env=one.env,
                    cwd=folder,
                    text=True,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
            )
            for one in both
        }


def _exports(model: str, exporters: Mapping[str, subprocess.Popen[str]]) -> Turn:
    """The command, less the start of Python and the import of PyTorch, which is not ours."""

    def turn(one: Checkout) -> Iterator[tuple[str, float]]:
        process = exporters[one.side]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"export {model} --force -o {model}-{one.side}\n")
        process.stdin.flush()
        code, took, used = map(float, process.stdout.readline().split())
        if code:
            raise RuntimeError(f"{one.side} cannot export {model}")
        yield f"export {model}, wall s", took
        yield f"export {model}, processor s", used

    return turn


@contextmanager
def _servers(both: Sequence[Checkout], folder: Path) -> Iterator[dict[str, Server]]:
    """A server of each with both networks, stopped until it is its turn."""
    with ExitStack() as stack:
        servers = {}
        for one in both:
            ports = free_ports(3)
            options = ["--threads", "1", "--max-batch-size", "16", "--access-log", "none"]
            for name, port in zip(("http", "grpc", "metrics"), ports, strict=True):
                options += [f"--{name}-port", str(port)]
            command = [sys.executable, "-m", "lrn_deploy", "serve", *ROWS, *options]
            ready = running(command, "/v2/health/ready", ports, env=one.env, cwd=folder)
            servers[one.side] = stack.enter_context(ready)
            servers[one.side].pause()
        yield servers


def _bursts(servers: Mapping[str, Server], seconds: float) -> Turn:
    """The server's processor time for each request, of each network and number at a time."""
    requests = {name: infer(name, "input", row) for name, row in ROWS.items()}

    def turn(one: Checkout) -> Iterator[tuple[str, float]]:
        server = servers[one.side]
        for name, request in requests.items():
            for connections in CONCURRENCIES:
                server.resume()
                time.sleep(_SETTLE_SECONDS)
                used = _processor_seconds(server.pid)
                load = drive(server.http_port, [request], connections=connections, seconds=seconds)
                used = _processor_seconds(server.pid) - used
                server.pause()
                if set(load.statuses) != {200}:
                    raise RuntimeError(f"{one.side} answered {dict(load.statuses)} to {name}")
                yield f"serve {name} x{connections}, processor s", used / load.statuses[200]

    return turn


def _processor_seconds(pid: int) -> float:
    """Processor time of a process so far, by its clock as ``clock_getcpuclockid`` gives it."""
    return time.clock_gettime((~pid << 3) | 2)


def judged(samples: Samples) -> dict[str, dict[str, Any]]:
    """Of each measure the medians, the ratio with its interval, and whether it is within 5 %."""
    found = {}
    for name, sides in samples.items():
        before, after = ([[value] for value in sides[side]] for side in ("before", "after"))
        ratio = ratio_interval(after, before)
        found[name] = {
            "before": float(np.median(before)),
            "after": float(np.median(after)),
            "rounds": len(before),
            "ratio": ratio.estimate,
            "low": ratio.low,
            "high": ratio.high,
            "answer": judge(ratio, LIMIT),
        }
    return found


def main() -> int:
    """Measure, print and write; 1 if something is surely slower by more than 5 %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another checkout")
    parser.add_argument("--parts", nargs="+", choices=SECONDS, default=list(SECONDS))
    parser.add_argument("--share", type=float, default=1.0, help="of the usual time")
    options = parser.parse_args()
    calm = quiet()
    seconds = {part: SECONDS[part] * options.share for part in options.parts}
    samples = measured(options.before, options.after, seconds)
    ratios = judged(samples)
    commits = [Checkout("", path.resolve()).commit for path in (options.before, options.after)]
    file = write_result(
        "house",
        {"commits": commits, "quiet": calm, "limit": LIMIT, "ratios": ratios, "samples": samples},
    )
    if not calm["quiet"]:
        print(f"The machine was busy ({calm['busy']:.0%}): these are not to be trusted.")
    for name, one in ratios.items():
        print(
            f"{name:<42} {one['before']:.6f} -> {one['after']:.6f}, "
            f"{one['ratio']:.3f} ({one['low']:.3f} to {one['high']:.3f}), "
            f"{one['rounds']} rounds, {one['answer']}"
        )
    print(f"wrote {file}")
    return int(any(one["answer"] == "regression" for one in ratios.values()))


if __name__ == "__main__":
    sys.exit(main())

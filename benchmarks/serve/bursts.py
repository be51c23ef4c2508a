"""Servers that take turns, and what each burst of load told."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.load import LEAD_SECONDS, Load, drive
from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.processes import Server
from lrn_deploy.bundle import Bundle

_SETTLE_SECONDS = 0.1
_WARM_SECONDS = 1.0


@dataclass(frozen=True)
class Turn:
    """A server that waits, stopped, for its turn.

    Attributes:
        contender: Which one.
        server: Its process.
        memory_bytes: What it had when it was ready.
        request: What it is asked.
        expected: What it must answer.
    """

    contender: Contender
    server: Server
    memory_bytes: int
    request: bytes
    expected: NDArray[Any]

    @contextmanager
    def awake(self) -> Iterator[Server]:
        """Let it run while the block does."""
        self.server.resume()
        try:
            yield self.server
        finally:
            self.server.pause()

    def burst(
        self, connections: int, seconds: float, per_second: float = 0.0, seed: int = 0
    ) -> dict[str, Any]:
        """Load it for a while; see :func:`benchmarks.load.drive`.

        Returns:
            Rates, processor time of the server and of the client for each request, quantiles of
            the latency, and whatever went wrong; without ``per_second``, rate and processor time
            of the client once it is steady, too.
        """
        with self.awake():
            time.sleep(_SETTLE_SECONDS)
            before = self.server.cpu_seconds()
            load = drive(
                self.server.http_port,
                [self.request],
                connections=connections,
                seconds=seconds,
                per_second=per_second,
                seed=seed,
                right=lambda _index, body: self.contender.right(self.expected, body),
                ca=self.contender.ca,
            )
            cpu = self.server.cpu_seconds() - before
        told = {"server": self.contender.name, "connections": connections} | _told(load, cpu)
        if not per_second and seconds > LEAD_SECONDS:
            told["steady_per_second"] = load.steady_per_second(seconds)
            told["steady_client_cpu_share"] = load.steady_cpu_share
        return told


@contextmanager
def all_started(
    bundle: Bundle,
    folder: Path,
    threads: int,
    rows: int,
    contenders: Sequence[Contender] = CONTENDERS,
) -> Iterator[list[Turn]]:
    """Start servers one after the other, each warmed up and then stopped."""
    row, expected = example(bundle.path / "model.onnx")
    with ExitStack() as stack:
        turns = []
        for contender in contenders:
            home = Path(tempfile.mkdtemp(prefix=contender.name, dir=folder))
            server = stack.enter_context(contender.start(bundle, home, threads, rows))
            memory = server.memory_bytes()
            turn = Turn(contender, server, memory, contender.request(bundle, row), expected)
            told = turn.burst(rows, _WARM_SECONDS)
            if not told["answers"] or told["wrong"] or told["refused"]:
                raise RuntimeError(f"{contender.name} does not answer as it should: {told}")
            turns.append(turn)
        yield turns


def example(graph: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """A row of random numbers, (1, ...), and what the graph makes of it."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[spec.type]
    row = np.random.default_rng(2).integers(0, 256, (1, *spec.shape[1:])).astype(dtype)
    return row, session.run(None, {spec.name: row})[0]


def _told(load: Load, cpu: float) -> dict[str, Any]:
    answers = load.statuses[200]
    return {
        "answers": answers,
        "wrong": load.wrong,
        "refused": {str(key): count for key, count in load.statuses.items() if key != 200},
        "per_second": load.per_second,
        "server_cpu_ms": 1e3 * cpu / max(1, answers),
        "client_cpu_ms": 1e3 * load.cpu_seconds / max(1, answers),
        "client_cpu_share": load.cpu_seconds / load.seconds,
        "latency_ms": {str(q): 1e3 * load.quantile(q) for q in (50, 90, 99, 100)},
    }

"""lrn-server beside all its peers: throughput, latency at half load, memory and cold start.

``python -m benchmarks.serve --only sidebyside`` measures and writes ``results/side_by_side.json``.
All serve the same ONNX file of AlexNet with as many threads, and are asked by the same client, each
in its leanest form. Every answer is checked. Servers take turns in an order that rotates, and all
but the one whose turn it is are stopped meanwhile.

What is compared is the ratio to lrn-server; its interval is a bootstrap over rounds, as neighbours
in a round share the machine's slow times. Percentiles pool the requests of the rounds drawn.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import write_result
from benchmarks.load import LEAD_SECONDS, Load, drive
from benchmarks.peers.contenders import CONTENDERS, FURTHER, Contender
from benchmarks.peers.environments import REQUIREMENTS, environment
from benchmarks.quiet import quiet
from benchmarks.serve.bursts import Turn, example
from benchmarks.serve.networks import network
from lrn_deploy.bundle import Bundle

ALL = (*CONTENDERS, *FURTHER)
OURS = ALL[0].name
ENVIRONMENTS = ("triton", "litserve", "bentoml", "ray", "mlserver", "kserve")
CONNECTIONS_A_ROW = 2
DRAWS = 500
Rounds = Sequence[Any]
"""Figures of each round."""


def measure(
    threads: int, rows: int, *, rounds: int, seconds: float, starts: int, model: str = "alexnet"
) -> Path:
    """Measure all and write the result.

    Args:
        threads: Of each server's network.
        rows: Of the largest batch.
        rounds: Turns of each server, at its most and at half load.
        seconds: Of each turn.
        starts: How often each is started.
        model: The network.
    """
    for name in ENVIRONMENTS:
        environment(name)
    began = time.monotonic()
    calm = quiet()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        bundle = network(folder, model)
        cold: dict[str, list[float]] = {one.name: [] for one in ALL}
        for at in range(starts - 1):
            for one in rotated(ALL, at):
                with started(one, bundle, folder, threads, rows) as (_, took):
                    cold[one.name].append(took)
        turns = []
        for one in ALL:
            turn, took = stack.enter_context(started(one, bundle, folder, threads, rows))
            cold[one.name].append(took)
            turn.server.pause()
            turns.append(turn)
        result = in_turns(turns, rows, rounds, seconds)
    result |= {
        "what": "servers of the same ONNX file, in turns; ratios are to lrn-server",
        "model": model,
        "threads": threads,
        "max_batch": rows,
        "seconds_of_a_turn": seconds,
        "quiet": calm,
        "peers": [wanted for name in ENVIRONMENTS for wanted in REQUIREMENTS[name]],
        "cold_start_s": cold,
    }
    result["compared"] = compared(result)
    result["took_s"] = round(time.monotonic() - began)
    show(result)
    return write_result("side_by_side", result)


@contextmanager
def started(
    contender: Contender, bundle: Bundle, folder: Path, threads: int, rows: int
) -> Iterator[tuple[Turn, float]]:
    """A server, and the seconds from the start of its process to its first answer, a right one.

    Raises:
        RuntimeError: If the answer is not right.
    """
    row, expected = example(bundle.path / "model.onnx")
    request = contender.request(bundle, row)
    home = Path(tempfile.mkdtemp(prefix="home", dir=folder))
    began = time.perf_counter()
    with contender.start(bundle, home, threads, rows) as server:
        ready = time.perf_counter() - began
        turn = Turn(contender, server, server.memory_bytes(), request, expected)
        first = _drive(turn, connections=1, seconds=1e-3)
        if first.wrong or not first.moments:
            raise RuntimeError(f"{contender.name} does not answer as it should: {first.statuses}")
        yield turn, ready + min(first.moments)


def in_turns(turns: list[Turn], rows: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Every server at its most, and all at half of what the slowest of them can do."""
    connections = CONNECTIONS_A_ROW * rows
    most: dict[str, list[float]] = {turn.contender.name: [] for turn in turns}
    latencies: dict[str, list[list[float]]] = {turn.contender.name: [] for turn in turns}
    for turn in turns:  # warm: batches of every size, and what a server makes at first
        with turn.awake():
            _drive(turn, connections=connections, seconds=LEAD_SECONDS)
    for at in range(rounds):
        for turn in rotated(turns, at):
            with turn.awake():
                load = _drive(turn, connections=connections, seconds=LEAD_SECONDS + seconds)
            steady = load.steady_per_second(LEAD_SECONDS + seconds)
            most[turn.contender.name].append(steady if np.isfinite(steady) else load.per_second)
    offered = min(float(np.median(values)) for values in most.values()) / 2
    for at in range(rounds):
        for turn in rotated(turns, at):
            with turn.awake():
                load = _drive(
                    turn, connections=4 * connections, seconds=seconds, per_second=offered, seed=at
                )
            latencies[turn.contender.name].append([round(1e3 * one, 3) for one in load.latencies])
    memory = {
        turn.contender.name: {"ready": turn.memory_bytes, "after": turn.server.memory_bytes()}
        for turn in turns
    }
    return {
        "saturated_per_second": most,
        "offered_per_second": offered,
        "half_load_ms": latencies,
        "memory_bytes": memory,
    }


def compared(result: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Each figure of each server, and its ratio to lrn-server's with a 95 % interval."""
    most, latencies = result["saturated_per_second"], result["half_load_ms"]
    cold, memory = result["cold_start_s"], result["memory_bytes"]
    told: dict[str, dict[str, dict[str, float]]] = {}
    for name in most:

        def figure(of: dict[str, Any], what: Callable[[Rounds], float], name: str = name) -> Any:
            return _ratio(of[name], of[OURS], what)

        told[name] = {
            "per_second": figure(_single(most), _median),
            "p50_ms": figure(latencies, lambda rounds: _percentile(rounds, 50)),
            "p99_ms": figure(latencies, lambda rounds: _percentile(rounds, 99)),
            "cold_start_s": figure(_single(cold), _median),
            "memory_bytes": {
                "value": memory[name]["after"],
                "ratio": memory[name]["after"] / memory[OURS]["after"],
            },
        }
    return told


def verdicts(result: dict[str, Any]) -> dict[str, bool]:
    """Whether lrn-server is first in throughput, and no worse than the best at p99.

    First is who is ahead of each other; no worse is whose interval of the ratio reaches 1.
    """
    told = result["compared"]
    others = [figures for name, figures in told.items() if name != OURS]
    best = min(others, key=lambda figures: figures["p99_ms"]["value"])["p99_ms"]
    return {
        "first in throughput": all(one["per_second"]["ratio"] < 1 for one in others),
        "p99 no worse than the best": best["ratio"] >= 1 or best["high"] >= 1,
    }


def show(result: dict[str, Any]) -> None:
    """Print what was found."""
    if not result["quiet"]["quiet"]:
        print(f"The machine was busy ({result['quiet']['busy']:.0%}): these are not to be trusted.")
    print(f"half load is {result['offered_per_second']:.1f} requests a second for all")
    for name, figures in result["compared"].items():
        cells = []
        for key, one in figures.items():
            value = one["value"] / (2**20 if key == "memory_bytes" else 1)
            spread = f" ({one['low']:.2f} to {one['high']:.2f})" if "low" in one else ""
            cells.append(f"{key} {value:.1f}, x{one['ratio']:.2f}{spread}")
        print(f"  {name:<14} {'; '.join(cells)}")
    for sentence, met in verdicts(result).items():
        print(f"{sentence}: {'yes' if met else 'NO'}")


def rotated(those: Sequence[Any], by: int) -> list[Any]:
    """The same in an order that begins further on."""
    by %= len(those)
    return [*those[by:], *those[:by]]


def _drive(turn: Turn, **how: Any) -> Load:
    """Ask a server whose turn it is.

    Raises:
        RuntimeError: If an answer is wrong or missing.
    """
    load = drive(
        turn.server.http_port,
        [turn.request],
        right=lambda _index, body: turn.contender.right(turn.expected, body),
        ca=turn.contender.ca,
        **how,
    )
    if load.wrong or set(load.statuses) - {200}:
        raise RuntimeError(
            f"{turn.contender.name} does not answer as it should: {dict(load.statuses)}, "
            f"{load.wrong} wrong"
        )
    return load


def _ratio(theirs: Rounds, ours: Rounds, what: Callable[[Rounds], float]) -> dict[str, float]:
    """A figure of rounds over that of ours, with the interval of rounds drawn anew for both."""
    rng = np.random.default_rng(0)
    pair = [[np.array(one) for one in rounds] for rounds in (theirs, ours)]
    ratios = []
    for _ in range(DRAWS):
        drawn = rng.integers(0, len(ours), len(ours))
        figures = [what([rounds[at] for at in drawn]) for rounds in pair]
        ratios.append(figures[0] / figures[1])
    low, high = np.percentile(ratios, [2.5, 97.5])
    value = what(pair[0])
    return {
        "value": value,
        "ratio": value / what(pair[1]),
        "low": float(low),
        "high": float(high),
    }


def _single(values: dict[str, list[float]]) -> dict[str, list[list[float]]]:
    return {name: [[one] for one in each] for name, each in values.items()}


def _median(rounds: Rounds) -> float:
    return float(np.median(np.concatenate(rounds)))


def _percentile(rounds: Rounds, percent: float) -> float:
    return float(np.percentile(np.concatenate(rounds), percent))

"""Measure all servers, print a table of each part, and write ``results/serve.json``."""

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import write_result
from benchmarks.load import LEAD_SECONDS
from benchmarks.peers.contenders import CONTENDERS, ON_OPENVINO
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.offline import offline
from benchmarks.quiet import quiet
from benchmarks.serve.bursts import Turn, all_started
from benchmarks.serve.draw import without_client
from benchmarks.serve.networks import network, nothing
from benchmarks.serve.side_by_side import measure
from benchmarks.serve.start import starts
from lrn_deploy.bundle import Bundle

CORES = len(os.sched_getaffinity(0))
CONCURRENCIES = (1, 4, 16)
MAX_BATCH = 16
STARTS = 5
OURS = CONTENDERS[0]
Bursts = list[dict[str, Any]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="turns of each server")
    parser.add_argument("--seconds", type=float, default=1.0, help="of the shortest bursts")
    parser.add_argument("--model", default="alexnet", help="the large network")
    parser.add_argument(
        "--only", choices=["sidebyside"], help="only this part, which has a result of its own"
    )
    parser.add_argument("--starts", type=int, default=5, help="of each server, side by side")
    options = parser.parse_args()
    if options.only:
        file = measure(
            CORES,
            MAX_BATCH,
            rounds=5 * options.rounds,
            seconds=2.5 * options.seconds,
            starts=options.starts,
            model=options.model,
        )
        print(f"wrote {file}")
        return
    rounds, seconds = options.rounds, options.seconds
    calm = quiet()
    result: dict[str, Any] = {"quiet": calm, "cores": CORES, "max_batch": MAX_BATCH}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = {
            "nothing, uint8, 154,587 bytes": nothing(folder, floats=False),
            "nothing, float32, 618,348 bytes": nothing(folder, floats=True),
            "digits": network(folder, "digits"),
        }
        result["small"] = {
            what: _small(bundle, folder, rounds, seconds) for what, bundle in small.items()
        }
        large = network(folder, options.model)
        result["start"] = starts(large, CORES, MAX_BATCH, STARTS * rounds)
        result["saturation"] = {
            precision: _saturation(bundle, folder, 16 * rounds, 2.5 * seconds)
            for precision, bundle in (
                ("fp32", large),
                ("int8", network(folder, options.model, "int8")),
            )
        }
        result["half load"] = _half_load(large, folder, rounds, 5 * seconds)
    peers = [one for name in ("triton", "litserve", "bentoml") for one in REQUIREMENTS[name]]
    file = write_result("serve", {"peers": peers, "model": options.model, **result})
    _print(result)
    print(f"wrote {file}")


def _small(bundle: Bundle, folder: Path, rounds: int, seconds: float) -> Bursts:
    """Bursts of a network where the server is the cost, one thread for the network."""
    bursts = []
    with all_started(bundle, folder, 1, MAX_BATCH) as turns:
        for turn in range(rounds):
            for connections in CONCURRENCIES:
                bursts += [one.burst(connections, seconds) for one in _rotated(turns, turn)]
    return bursts


def _saturation(bundle: Bundle, folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """The runtime alone against lrn-server, steady, with clients enough for two full batches."""
    bare, bursts = [], []
    with (
        offline(bundle.path / "model.onnx", CORES, MAX_BATCH) as session,
        all_started(bundle, folder, CORES, MAX_BATCH, (OURS,)) as (ours,),
    ):
        memory = {"bare": session.process.memory_bytes(), "lrn-server": ours.memory_bytes}
        for _ in range(rounds):
            bare.append(session.per_second(seconds))
            bursts.append(ours.burst(2 * MAX_BATCH, LEAD_SECONDS + seconds))
        bare.append(session.per_second(seconds))
    # The machine's speed drifts, so neighbours are compared, and turns are short.
    around = [(before + after) / 2 for before, after in pairwise(bare)]
    ratios = [
        burst["steady_per_second"] / alone for burst, alone in zip(bursts, around, strict=True)
    ]
    freed = [
        ratio / (1 - burst["steady_client_cpu_share"] / CORES)
        for ratio, burst in zip(ratios, bursts, strict=True)
    ]
    return {
        "offline_per_second": bare,
        "bursts": bursts,
        "share_of_offline": ratios,
        "share_without_clients_cpu": freed,
        "memory_bytes": memory,
    }


def _half_load(bundle: Bundle, folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Every server at its most, then all at half of what the slowest of them can do."""
    with all_started(bundle, folder, CORES, MAX_BATCH, (*CONTENDERS, ON_OPENVINO)) as turns:
        most = [
            one.burst(2 * MAX_BATCH, seconds)
            for turn in range(rounds)
            for one in _rotated(turns, turn)
        ]
        least = min(burst["per_second"] for burst in most)
        bursts = [
            one.burst(MAX_BATCH, seconds, least / 2, seed=turn)  # the same arrivals for all
            for turn in range(15 * rounds)  # short, so that they share the machine's slow times
            for one in _rotated(turns, turn)
        ]
        memory = {one.contender.name: one.memory_bytes for one in turns}
    return {"most": most, "offered_per_second": least / 2, "bursts": bursts, "memory_bytes": memory}


def _rotated(turns: list[Turn], by: int) -> list[Turn]:
    by %= len(turns)
    return turns[by:] + turns[:by]


def _print(result: dict[str, Any]) -> None:
    if not result["quiet"]["quiet"]:
        print(f"The machine was busy ({result['quiet']['busy']:.0%}): these are not to be trusted.")
    for what, bursts in result["small"].items():
        print(f"\n{what}: server's CPU in ms for each request, requests per second")
        for connections in CONCURRENCIES:
            cells = []
            for contender in CONTENDERS:
                own = _of(bursts, contender.name, connections)
                cpu, rate = _median(own, "server_cpu_ms"), _median(own, "per_second")
                cells.append(f"{contender.name} {cpu:.2f} {rate:.0f}")
            print(f"  x{connections:<3} " + " | ".join(cells))
    for precision, part in result["saturation"].items():
        share = part["share_of_offline"]
        more = part["memory_bytes"]["lrn-server"] - part["memory_bytes"]["bare"]
        print(
            f"\n{precision}: {np.median(part['offline_per_second']):.1f} rows per second offline, "
            f"lrn-server {np.median(share):.1%}, without the client's CPU "
            f"{without_client(part)}; memory {more / 2**20:+.0f} MiB"
        )
    start = result["start"]
    print(
        f"\nready after {np.median(start['lrn-server_s']):.2f} s, "
        f"{np.median(start['ratios']):.2f} times what hashing, loading and warming up take"
    )
    half = result["half load"]
    print(f"\nhalf load, {half['offered_per_second']:.1f} per second: p50 and p99 in ms, most, MiB")
    for contender in (*CONTENDERS, ON_OPENVINO):
        own = _of(half["bursts"], contender.name)
        p50, p99 = (np.median([one["latency_ms"][q] for one in own]) for q in ("50", "99"))
        print(
            f"  {contender.name:<22} {p50:.1f} {p99:.1f}, "
            f"{_median(_of(half['most'], contender.name), 'per_second'):.1f} per second, "
            f"{half['memory_bytes'][contender.name] >> 20} MiB"
        )


def _of(bursts: Bursts, name: str, connections: int = 0) -> Bursts:
    return [
        one for one in bursts if one["server"] == name and connections in (0, one["connections"])
    ]


def _median(bursts: Bursts, key: str) -> float:
    return float(np.median([one[key] for one in bursts]))


if __name__ == "__main__":
    main()

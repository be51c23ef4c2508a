"""What a real server makes of a network at several rates, beside what the model says."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import LEAD_SECONDS, drive, infer
from benchmarks.peers.ours import lrn_server
from benchmarks.peers.processes import Server
from benchmarks.serve.networks import nothing
from benchmarks.size_check.simulation import Floats, poisson, simulate
from lrn_deploy.bundle import Bundle
from lrn_deploy.cli import run
from lrn_deploy.latency.effort import Effort
from lrn_deploy.load.load import load
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.load.schema import Step
from lrn_deploy.sizing.bulk_queue import capacity, stay
from lrn_deploy.sizing.profiles import chosen, read_own
from lrn_deploy.sizing.service import MEASURED, Curve, Overhead, service_times
from lrn_deploy.sizing.wire import forms, sent
from lrn_deploy.workflows.profile.options import ProfileOptions
from lrn_deploy.workflows.profile.profile import profile

PERCENTS = (50.0, 90.0, 99.0)
SPREAD_RUNS = 100
"""Simulated runs of a measured run's length: how far its p99 may lie by chance."""
_CONCURRENCIES = (1, 16)
BatchSeconds = dict[int, tuple[int, float]]


@dataclass(frozen=True)
class Cores:
    """Where what runs, by the numbers of processor cores."""

    server: frozenset[int]
    client: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The first for the server, the others for the client; all for both if there is one."""
        here = sorted(os.sched_getaffinity(0))
        return cls(frozenset(here[:1]), frozenset(here[1:] or here))


@contextmanager
def served(cores: Cores, bundle: Bundle, rows: int) -> Iterator[Server]:
    """A server on its core, and this process on the others."""
    options = ("--threads", "1", "--max-batch-size", str(rows), "--access-log", "none")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.server)  # what it starts inherits
    try:
        with lrn_server(bundle.path, *options) as server:
            os.sched_setaffinity(0, cores.client)
            yield server
    finally:
        os.sched_setaffinity(0, before)


def profiled(cores: Cores, folder: Path, model: str, rows: int, seconds: float) -> Bundle:
    """A network's bundle with its profile, of one thread on the server's core."""
    if run(["export", model, "-o", str(folder / model)]) != 0:
        raise RuntimeError(f"'{model}' could not be exported")
    bundle = Bundle.open(folder / model)
    batches = tuple(size for size in (1, 2, 4, 8, 16, 32) if size <= rows)
    options = ProfileOptions(
        batches=batches,
        effort=Effort(rounds=30, seconds=seconds / len(batches)),
        threads=1,
        devices=("cpu",),
        artifacts=("model",),
        first_run=False,
        layers=False,
    )
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.server)
    try:
        return profile(bundle, options).bundle
    finally:
        os.sched_setaffinity(0, before)


def overheads(cores: Cores, folder: Path, seconds: float) -> dict[str, Any]:
    """The server's processor time for networks that do nothing, and what it is made of.

    One at a time, each request is a batch; sixteen at a time they share batches, of a size that the
    server tells. Three unknowns, four measurements, least squares.
    """
    measured = []
    for floats in (False, True):
        bundle = nothing(folder, floats=floats)
        row = np.zeros(_row(bundle), np.float32 if floats else np.uint8)
        request = infer(bundle.manifest.model.name, bundle.manifest.inputs[0].name, row)
        with served(cores, bundle, _CONCURRENCIES[-1]) as server:
            for connections in _CONCURRENCIES:
                drive(server.http_port, [request], connections=connections, seconds=LEAD_SECONDS)
                used, batches = server.cpu_seconds(), _batches(server, bundle)
                done = drive(server.http_port, [request], connections=connections, seconds=seconds)
                answers = done.statuses[200]
                measured.append(
                    {
                        "bytes": len(request),
                        "connections": connections,
                        "answers": answers,
                        "batches": _batches(server, bundle) - batches,
                        "server_cpu_s": server.cpu_seconds() - used,
                    }
                )
    return {"measured": measured, "fitted": vars(fitted(measured)), "assumed": vars(MEASURED)}


def fitted(measured: list[dict[str, Any]]) -> Overhead:
    """Seconds for a request, for a byte and for a batch that explain processor times best."""
    terms = [[1.0, one["bytes"], one["batches"] / one["answers"]] for one in measured]
    each = [one["server_cpu_s"] / one["answers"] for one in measured]
    scale = np.array([1.0, 1e-6, 1.0])  # bytes in millions, so that the columns are alike
    found = np.linalg.lstsq(np.array(terms) * scale, np.array(each), rcond=None)[0] * scale
    return Overhead(*(max(0.0, float(value)) for value in found))


def levels(
    cores: Cores,
    bundle: Bundle,
    rows: int,
    shares: tuple[float, ...],
    seconds: float,
    overhead: Overhead = MEASURED,
) -> dict[str, Any]:
    """Saturation, and an open loop at shares of what the model says that the server can do.

    Args:
        cores: Where what runs.
        bundle: With its profile.
        rows: Of the largest batch.
        shares: Of what it does when it is saturated.
        seconds: Of each.
        overhead: The server's own time.
    """
    manifest = bundle.manifest
    curve = chosen(read_own(bundle), manifest)
    form = forms(manifest)[sent(manifest)]
    reading = overhead.of_request(form.request)
    times = service_times(curve, 1, rows, reading, overhead.per_batch)
    found = []
    with served(cores, bundle, rows) as server:
        url = f"http://{server.http}"
        before = _batch_seconds(server, bundle)
        full = _asked(url, LoadOptions(concurrency=2 * rows, duration=min(seconds, 12.0)))
        after = _batch_seconds(server, bundle)
        at_most = slower(curve, before, after)
        for seed, share in enumerate(shares):
            before = after
            rate = share * full.throughput
            step = _asked(url, LoadOptions(rate=rate, duration=seconds, seed=seed))
            after = _batch_seconds(server, bundle)
            pace = slower(curve, before, after)
            found.append(beside(step, pace * times, share) | {"slower_than_profiled": pace})
    return {
        "model": manifest.model.name,
        "max_batch_size": rows,
        "profile_s": {str(size): samples.tolist() for size, samples in curve.samples.items()},
        "request_bytes": form.request,
        "saturated": {
            "predicted_per_second": capacity(at_most * times),
            "measured_per_second": full.throughput,
            "slower_than_profiled": at_most,
            "client_busy": full.generator.busy,
        },
        "levels": found,
    }


def slower(curve: Curve, before: BatchSeconds, after: BatchSeconds) -> float:
    """How many times as long the network's batches took as when it was profiled.

    Machines that others share change their speed from minute to minute, which is not the model's
    matter: it is told the times of the minute.

    Args:
        curve: The profile.
        before: Batches of each size and the seconds that they took, by the server's own statistics.
        after: The same, later.
    """
    sizes = {size: after[size][0] - before.get(size, (0, 0.0))[0] for size in after}
    took = sum(after[size][1] - before.get(size, (0, 0.0))[1] for size in after)
    foretold = sum(count * float(curve.times(size).mean()) for size, count in sizes.items())
    return took / foretold


def beside(step: Step, times: Floats, share: float) -> dict[str, Any]:
    """A measured open loop, what the model says of its rate, and what a simulation says.

    Args:
        step: What was measured.
        times: Of the batches, as the model takes them.
        share: Of what the server does when it is saturated.
    """
    assert step.rate is not None
    pairs = [
        (due, latency)
        for due, latency, outcome in zip(
            step.samples.due, step.samples.latency, step.samples.outcome, strict=True
        )
        if latency is not None and step.samples.outcomes[outcome] == step.samples.outcomes[0]
    ]
    due, latencies = (np.array(column) for column in zip(*pairs, strict=True))
    counted = due >= due[-1] - step.seconds
    said = stay(step.rate, times)
    played = simulate(due, times)[counted]
    by_chance = [
        float(np.percentile(simulate(poisson(step.rate, len(due), seed), times, seed), 99))
        for seed in range(SPREAD_RUNS)
    ]
    return {
        "share_of_capacity": share,
        "rate": step.rate,
        "sent": step.sent,
        "failed": step.errors,
        "offered": step.offered,
        "throughput": step.throughput,
        "utilisation_predicted": said.utilisation,
        "mean_batch_predicted": said.mean_batch,
        "measured_s": _percentiles(latencies[counted]),
        "predicted_s": {f"{percent:g}": said.quantile(percent) for percent in PERCENTS},
        "same_arrivals_simulated_s": _percentiles(played),
        "p99_of_runs_as_long_s": list(np.percentile(by_chance, [2.5, 97.5])),
        "client_busy": step.generator.busy,
        "client_late_p99_s": step.generator.late_p99,
        "due_s": _line(due),
        "latency_s": _line(latencies),
    }


def _asked(url: str, options: LoadOptions) -> Step:
    (step,) = load(url, options).steps
    if step.errors or not step.answered:
        raise RuntimeError(f"'{url}' did not answer as it should: {step.errors}")
    return step


def _percentiles(values: Floats) -> dict[str, float]:
    return {f"{percent:g}": float(np.percentile(values, percent)) for percent in PERCENTS}


def _line(values: Floats) -> str:
    """Numbers in one line, to a hundredth of a millisecond; as lists they were 100,000 lines."""
    return " ".join(f"{value:.5f}" for value in values)


def _row(bundle: Bundle) -> tuple[int, ...]:
    return (1, *(axis for axis in bundle.manifest.inputs[0].shape[1:] if isinstance(axis, int)))


def _batches(server: Server, bundle: Bundle) -> int:
    """Batches that have run so far."""
    return int(_statistics(server, bundle)["execution_count"])


def _batch_seconds(server: Server, bundle: Bundle) -> BatchSeconds:
    """Batches of each size so far, and the seconds that the network took for them."""
    return {
        int(row["batch_size"]): (
            int(row["compute_infer"]["count"]),
            int(row["compute_infer"]["ns"]) / 1e9,
        )
        for row in _statistics(server, bundle)["batch_stats"]
    }


def _statistics(server: Server, bundle: Bundle) -> dict[str, Any]:
    url = f"http://{server.http}/v2/models/{bundle.manifest.model.name}/stats"
    with urllib.request.urlopen(url, timeout=10) as reply:
        found: dict[str, Any] = json.load(reply)["model_stats"][0]
    return found

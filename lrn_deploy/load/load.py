"""Load a server, and say what it made of it."""

from __future__ import annotations

import numpy as np

from lrn_deploy.latency.circumstances import Measurement
from lrn_deploy.load.drive import Taken, drive
from lrn_deploy.load.measures import step_of
from lrn_deploy.load.options import LoadOptions
from lrn_deploy.load.plans import ClosedLoop, OpenLoop, Plan, poisson
from lrn_deploy.load.ramp import LIMIT_FACTOR, find_knee, judged
from lrn_deploy.load.schema import INTERRUPTED, Knee, LoadReport, Step
from lrn_deploy.load.workload import Workload, address_of, prepare
from lrn_deploy.progress import Progress, silent

_UNLOADED_SECONDS = 2.0
_PER_SECOND = 10
"""Steps of the progress."""
_LIVE_SECONDS = 0.25
_LATEST = 8192
"""Requests that are looked at to tell how it goes on."""


def load(url: str, options: LoadOptions, progress: Progress = silent) -> LoadReport:
    """Load the server at a URL.

    Args:
        url: ``http://HOST:PORT``, ``grpc://HOST:PORT``, or ``HOST:PORT``.
        options: How.
        progress: Told how far it has come.

    Returns:
        What was measured. If the server went away, or Ctrl-C came, that is what had been measured
        until then, and ``stopped`` says so.

    Raises:
        BadInputError: If it cannot be asked so.
        ClientError: If nobody answers there, or it has no such model.
    """
    address = address_of(url, options)
    workload = prepare(url, options)
    bench = _Bench(workload, options, progress)
    knee = None
    with Measurement() as circumstances:
        if options.rate is not None:
            bench.open(options.rate)
        elif options.concurrency is not None:
            bench.closed(options.concurrency, options.duration)
        else:
            knee = bench.ramp()
    return LoadReport(
        **circumstances.fields,
        model=workload.model,
        complete=not bench.stopped,
        url=str(address),
        server=workload.server,
        asked=workload.asked,
        request_bytes=workload.nbytes,
        mode=options.mode,
        seconds_each=options.duration,
        warmup=options.warmup,
        timeout=options.timeout,
        slo=None if options.slo_ms is None else options.slo_ms / 1e3,
        seed=options.seed,
        steps=tuple(bench.steps),
        knee=knee,
        stopped=bench.stopped,
        warnings=_warnings(bench.steps, options),
    )


class _Bench:
    """A server under load, step by step."""

    def __init__(self, workload: Workload, options: LoadOptions, progress: Progress) -> None:
        self.steps: list[Step] = []
        self.stopped = ""
        self._workload = workload
        self._options = options
        self._progress = progress

    def open(self, rate: float, limit: float | None = None) -> Step:
        """One open loop; with a limit of p99 it is judged."""
        options = self._options
        arrivals = poisson(rate, options.warmup + options.duration, options.seed + len(self.steps))
        plan, what = OpenLoop(arrivals), f"{rate:.4g}/s offered"
        return self._step(plan, what, options.duration, limit, rate=rate)

    def closed(self, concurrency: int, seconds: float) -> Step:
        """One closed loop."""
        plan = ClosedLoop(concurrency, self._options.warmup + seconds)
        return self._step(plan, f"{concurrency} at a time", seconds, concurrency=concurrency)

    def ramp(self) -> Knee | None:
        """Look for the knee, from what a lone client sees; None if that already was stopped."""
        options = self._options
        lone = self.closed(1, min(options.duration, _UNLOADED_SECONDS))
        if lone.latency is None or self.stopped:
            return None
        slo = options.slo_ms
        limit = LIMIT_FACTOR * lone.latency.p50 if slo is None else slo / 1e3
        return find_knee(lambda rate: self.open(rate, limit), 0.5 / lone.latency.p50, limit)

    def _step(
        self,
        plan: Plan,
        what: str,
        seconds: float,
        limit: float | None = None,
        *,
        rate: float | None = None,
        concurrency: int | None = None,
    ) -> Step:
        options = self._options
        sender = self._workload.sender()
        try:
            live = _Live(self._progress, what, options.warmup + seconds)
            taken = drive(sender, plan, timeout=options.timeout, tell=live)
        finally:
            sender.close()
        step = step_of(
            taken, warmup=options.warmup, seconds=seconds, rate=rate, concurrency=concurrency
        )
        if limit is not None:
            step = judged(step, limit)
        self.steps.append(step)
        if taken.interrupted:
            self.stopped = INTERRUPTED
        elif taken.gone:
            self.stopped = (
                f"The server took no more connections {taken.stopped:.1f} s after "
                f"'{what}' had begun."
            )
        return step


class _Live:
    """Tells how a step goes on, some times a second."""

    def __init__(self, progress: Progress, what: str, seconds: float) -> None:
        self._progress = progress
        self._what = what
        self._seconds = seconds
        self._next = 0.0

    def __call__(self, now: float, taken: Taken) -> None:
        if now < self._next or self._progress is silent:
            return
        self._next = now + _LIVE_SECONDS
        ended = np.array(taken.ended[-_LATEST:])
        recent = (ended >= now - 1) & (ended <= now)
        good = np.array([not outcome for outcome in taken.outcomes[-_LATEST:]], bool) & recent
        told = f"{self._what}: {good.sum()}/s"
        if good.any():
            p99 = np.percentile((ended - np.array(taken.due[-_LATEST:]))[good], 99)
            told += f", p99 {1e3 * p99:.3g} ms"
        if failed := int((recent & ~good).sum()):
            told += f", {failed} failed"
        done = min(now, self._seconds)
        self._progress(told, int(done * _PER_SECOND), int(self._seconds * _PER_SECOND))


def _warnings(steps: list[Step], options: LoadOptions) -> tuple[str, ...]:
    """Why not to take the figures for the server's."""
    told = []
    slow = [step for step in steps if step.generator.reason]
    if slow:
        worst = max(slow, key=lambda step: step.generator.late_p99)
        told.append(
            f"At {_named(slow)} the load generator itself was the bottleneck: "
            f"{worst.generator.reason}. Give it a processor of its own, or load from another "
            "machine."
        )
    held = [step for step in steps if step.generator.held]
    if held:
        count = sum(step.generator.held for step in held)
        told.append(
            f"At {_named(held)} {count} requests left late because {options.connections} were "
            "under way, which is the limit of --connections; their latencies count from when "
            "they were due."
        )
    failing = [step for step in steps if step.errors] if options.mode != "ramp" else []
    for step in failing:
        told.append(
            f"At {_named([step])} {sum(step.errors.values())} of {step.sent} requests failed; the "
            "latencies are those of the others."
        )
    return tuple(told)


def _named(steps: list[Step]) -> str:
    names = (
        f"{step.concurrency} at a time" if step.rate is None else f"{step.rate:.4g}/s"
        for step in steps
    )
    return ", ".join(dict.fromkeys(names))

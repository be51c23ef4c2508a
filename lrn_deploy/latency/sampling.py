"""Timing several candidates in one run, taking turns.

Measured one after the other, candidates are compared at different times of a machine that is never
the same twice. Here every candidate runs in every round, in an order drawn anew for each round, so
that whatever slows the machine down for a while slows all of them, and none always runs behind the
same neighbour.

A turn begins with a rest, as runtimes let their threads spin for a while after a run, and those of
one runtime take the cores from another's: AlexNet in OpenVINO, 3 ms alone, took 3 or 5 ms behind
ONNX Runtime by chance. Then come runs that are not timed, as they find the other's data in the
caches and a processor that has slept, then some that are. Networks that take longer than
:data:`LONG_RUN` read their weights from memory each time and do without the untimed runs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from lrn_deploy.latency.effort import Effort

LONG_RUN = 0.05
"""Seconds from which a run is so long that what its neighbour left behind no longer shows."""
REST = 0.06
"""Seconds of rest before another candidate's turn. ONNX Runtime's threads spin for 20 to 40 ms, by
the speed of the machine: behind 30 ms of rest OpenVINO's first AlexNet took 27 ms, behind 60 18."""
TURN = 0.01
"""Seconds of timed runs that a turn aims at, so that a fast network gets more runs in it."""
MIN_RUNS_PER_TURN = 3
"""Where two threads wake up differs from turn to turn, and their times with it, by up to half."""
MAX_RUNS_PER_TURN = 20
WAKE = 0.001
"""Seconds that untimed runs go on, one at least."""
WARMUP_WINDOW = 5
WARMUP_TOLERANCE = 0.05
WARMUP_MAX_RUNS = 200
WARMUP_MAX_SECONDS = 3.0


@dataclass
class Timings:
    """Raw samples of one candidate.

    Attributes:
        rounds: Seconds of each timed run, by round.
        warmup_runs: Runs before the first round.
        steady: Whether warm-up ended because the times no longer moved.
        error: Why it stopped; empty if it did not fail.
    """

    rounds: list[list[float]] = field(default_factory=list)
    warmup_runs: int = 0
    steady: bool = False
    error: str = ""


@dataclass
class Run:
    """What one interleaved run measured.

    Attributes:
        samples: By candidate.
        complete: False if it was interrupted; what had been measured is there.
    """

    samples: dict[str, Timings]
    complete: bool = True


Candidates = Mapping[str, Callable[[], object]]
Remaining = Callable[[Mapping[str, list[list[float]]]], Collection[str]]
"""Who goes on, given the rounds so far of those who are still there; nobody ends the run."""


def interleave(
    candidates: Candidates,
    effort: Effort | None = None,
    *,
    seed: int = 0,
    expected: tuple[type[Exception], ...] = (),
    on_round: Callable[[int, int], None] | None = None,
    remaining: Remaining | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Warm every candidate up, then time them all in turns.

    A Ctrl-C ends it and keeps what was measured. The garbage collector is off while it runs.

    Args:
        candidates: What to time, by name.
        effort: How long.
        seed: Seed of the order of the turns.
        expected: Errors that end a candidate rather than the run; its ``error`` says why.
        on_round: Told after each round how many of how many are done.
        remaining: Asked after each round who goes on; None keeps all to the end.
        clock: Seconds that only ever grow.
    """
    effort = effort or Effort()
    run = Run({name: Timings() for name in candidates})
    collecting = gc.isenabled()
    gc.disable()
    try:
        counts = _warm_up(candidates, run, expected, clock)
        _rounds(candidates, run, counts, effort, seed, expected, on_round, remaining, clock)
    except KeyboardInterrupt:
        run.complete = False
    finally:
        if collecting:
            gc.enable()
    return run


def warm_up(
    function: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> tuple[list[float], bool]:
    """Run until the times are steady.

    They are when the medians of the last five runs and of the five before differ by at most 5 %.
    It gives up after 200 runs or 3 seconds.

    Returns:
        Seconds of each run, and whether it became steady.
    """
    seen: list[float] = []
    started = clock()
    while True:
        before = clock()
        function()
        after = clock()
        seen.append(after - before)
        if len(seen) >= 2 * WARMUP_WINDOW:
            last = median(seen[-WARMUP_WINDOW:])
            earlier = median(seen[-2 * WARMUP_WINDOW : -WARMUP_WINDOW])
            if abs(last - earlier) <= WARMUP_TOLERANCE * earlier:
                return seen, True
        if len(seen) >= WARMUP_MAX_RUNS or after - started >= WARMUP_MAX_SECONDS:
            return seen, False


def _warm_up(
    candidates: Candidates,
    run: Run,
    expected: tuple[type[Exception], ...],
    clock: Callable[[], float],
) -> dict[str, tuple[bool, int]]:
    """Warm up; returns for each candidate whether to run it untimed first, and runs per turn."""
    counts = {}
    for name, function in candidates.items():
        samples = run.samples[name]
        try:
            seen, samples.steady = warm_up(function, clock)
        except expected as error:
            samples.error = str(error)
            continue
        samples.warmup_runs = len(seen)
        typical = median(seen[-WARMUP_WINDOW:])
        runs = MAX_RUNS_PER_TURN if typical <= 0 else round(TURN / typical)
        least = MIN_RUNS_PER_TURN if typical < LONG_RUN else 1
        counts[name] = (typical < LONG_RUN, min(max(runs, least), MAX_RUNS_PER_TURN))
    return counts


def _rounds(
    candidates: Candidates,
    run: Run,
    counts: Mapping[str, tuple[bool, int]],
    effort: Effort,
    seed: int,
    expected: tuple[type[Exception], ...],
    on_round: Callable[[int, int], None] | None,
    remaining: Remaining | None,
    clock: Callable[[], float],
) -> None:
    names = list(counts)
    rng = np.random.default_rng(seed)
    started = clock()
    for done in range(effort.rounds):
        if not names or (done >= effort.min_rounds and clock() - started >= effort.seconds):
            return
        for at in rng.permutation(len(names)):
            name = names[at]
            if len(names) > 1:
                time.sleep(REST)
            try:
                taken = _turn(candidates[name], *counts[name], clock)
            except expected as error:
                run.samples[name].error = str(error)
                continue
            run.samples[name].rounds.append(taken)
        names = [name for name in names if not run.samples[name].error]
        if remaining is not None:
            kept = remaining({name: run.samples[name].rounds for name in names})
            names = [name for name in names if name in kept]
        if on_round is not None:
            on_round(done + 1, effort.rounds)


def _turn(
    function: Callable[[], object], untimed: bool, runs: int, clock: Callable[[], float]
) -> list[float]:
    woken = clock() + WAKE
    while untimed:
        function()
        untimed = clock() < woken
    taken = []
    for _ in range(runs):
        before = clock()
        function()
        taken.append(clock() - before)
    return taken

"""What every benchmark shares: the machine, the versions, interleaved timing, the result file."""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lrn_deploy import environment
from lrn_deploy.doctor import find_gpus

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The machine without anything that names it: processor, cores, memory, system, GPUs."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        **environment.machine(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": [gpu.model_dump() for gpu in find_gpus()],
    }


def interleaved(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int
) -> dict[str, list[float]]:
    """Seconds of each run of each candidate, all in one process, taking turns.

    The order rotates from round to round, so that none always runs after the same neighbour and
    what slows the machine down for a while slows all of them.
    """
    names = list(candidates)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmup + rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            before = time.perf_counter()
            candidates[name]()
            elapsed = time.perf_counter() - before
            if turn >= warmup:
                samples[name].append(elapsed)
    return samples


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    points = np.percentile(samples, [0, 25, 50, 75, 100])
    names = ("min", "p25", "median", "p75", "max")
    return {name: float(point) for name, point in zip(names, points, strict=True)}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Spread of ours / theirs over the rounds, and the ratio of the two medians.

    Each round's two runs were neighbours in time, so what slowed one down slowed the other, too.
    """
    medians = float(np.median(ours) / np.median(theirs))
    return spread([a / b for a, b in zip(ours, theirs, strict=True)]) | {"of_medians": medians}


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Write ``results/NAME.json`` with the date, the machine and the versions; returns its path."""
    file = RESULTS / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": environment.versions(),
        **result,
    }
    file.write_text(json.dumps(content, indent=1) + "\n")
    return file

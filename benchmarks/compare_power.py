"""How surely an interleaved ``profile --compare`` catches a slowdown of 10 %, and nothing else.

Two sessions of the same artifact are held against each other as ``--compare`` does, in turns and
with its intervals and its answer, letting 5 % pass. In half of the repetitions one of them is
slowed: after each run it waits, busily, for a tenth of what that run took. A slowdown is caught by
the answer ``regression``, which an unchanged artifact must not get.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import write_result
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.machine import foreign_cores, usage
from lrn_deploy.latency.sampling import interleave
from lrn_deploy.latency.statistics import judge, ratio_interval
from lrn_deploy.parity.inputs import random_set

REPETITIONS = 20
SLOWDOWN = 0.10
LIMIT = 0.05
"""Slowdown that is let pass: the default of --max-regression."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A network of the zoo, the batch and the threads it runs with, and for how long."""

    network: str
    batch: int
    threads: int
    effort: Effort


CASES = (
    Case("digits", 1, 1, Effort(60, 10.0)),
    Case("digits", 32, 1, Effort(60, 10.0)),
    Case("alexnet", 1, 1, Effort(40, 10.0)),
)


def slowed(run: Run, by: float) -> Run:
    """``run``, and a busy wait of ``by`` times what it took."""

    def slower() -> None:
        before = time.perf_counter()
        run()
        until = before + (1 + by) * (time.perf_counter() - before)
        while time.perf_counter() < until:
            pass

    return slower


def compare(new: Run, base: Run, effort: Effort, seed: int) -> dict[str, Any]:
    """One comparison: the median of the rounds' ratios with its interval, and the answer."""
    before = usage()
    run = interleave({"new": new, "base": base}, effort, seed=seed)
    ratio = ratio_interval(run.samples["new"].rounds, run.samples["base"].rounds)
    return {
        "ratio": asdict(ratio),
        "answer": judge(ratio, LIMIT),
        "cores_of_others": foreign_cores(before, usage()),
    }


def repeat(new: Run, base: Run, effort: Effort, repetitions: int, by: float) -> dict[str, Any]:
    """Compare again and again, slowed and unchanged in turns; ``right`` counts right answers."""
    slower = slowed(new, by)
    found: dict[str, list[dict[str, Any]]] = {"slowed": [], "unchanged": []}
    for seed in range(repetitions):
        found["slowed"].append(compare(slower, base, effort, seed))
        found["unchanged"].append(compare(new, base, effort, seed))
    others = [item["cores_of_others"] or 0.0 for items in found.values() for item in items]
    answers = {name: Counter(item["answer"] for item in items) for name, items in found.items()}
    return {
        "repetitions": repetitions,
        "right": {
            "slowed": answers["slowed"]["regression"],
            "unchanged": repetitions - answers["unchanged"]["regression"],
        },
        "median_cores_of_others": median(others),
        "answers": {name: dict(counted) for name, counted in answers.items()},
        "comparisons": found,
    }


@contextmanager
def sessions(case: Case, folder: Path) -> Iterator[tuple[Run, Run]]:
    """Runs of two sessions of the network on the same random inputs."""
    bundle = export_bundle(ExportOptions(case.network), folder)
    data = bundle.load(bundle.manifest.default)
    feeds = random_set(bundle.manifest.inputs, bundle.manifest.preprocessing, case.batch).feeds
    backend = OnnxRuntimeBackend("cpu", threads=case.threads)
    with ExitStack() as stack:
        first, second = (stack.enter_context(backend.load(data)) for _ in range(2))
        yield partial(first.run, feeds), partial(second.run, feeds)


def main() -> None:
    """Measure all cases, print, and write ``results/compare_power.json``."""
    results = []
    for case in CASES:
        with (
            tempfile.TemporaryDirectory() as folder,
            sessions(case, Path(folder) / "bundle") as (new, base),
        ):
            found = repeat(new, base, case.effort, REPETITIONS, SLOWDOWN)
        results.append({"case": asdict(case), **found})
        print(
            f"{case.network}, batch {case.batch}, {case.threads} thread(s): of {REPETITIONS} each, "
            f"{found['right']['slowed']} slowdowns caught, "
            f"{found['right']['unchanged']} unchanged ones not; "
            f"other programs kept {found['median_cores_of_others']:.2f} cores busy",
            flush=True,
        )
    what = f"answers of --compare to a slowdown of {SLOWDOWN:.0%} and to none, {LIMIT:.0%} let pass"
    print(f"wrote {write_result('compare_power', {'what': what, 'cases': results})}")


if __name__ == "__main__":
    main()

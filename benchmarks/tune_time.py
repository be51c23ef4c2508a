"""How long ``tune`` takes on AlexNet, the quick way against the thorough one, and what it chooses.

Each run starts from the same exported bundle, in a process of its own, so that none finds
variants or samples that another made. At the end what each run chose is raced against what the
thorough one chose, all in one interleaved run. A machine with other work to do makes all of it
longer: how many cores others kept busy is recorded. The quick way takes two minutes and a half
on 2 cores, the thorough one six and a half.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, spread, write_result
from benchmarks.quiet import quiet
from benchmarks.runtimes.draw import between
from lrn_deploy.backends.registry import artifact_backends
from lrn_deploy.bundle import Bundle
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.sampling import interleave
from lrn_deploy.latency.statistics import ratio_interval
from lrn_deploy.tuning.schema import TuneReport
from lrn_deploy.workflows.tune.evaluation import evaluation_inputs

MODEL = "alexnet"
MAX_ERROR = 3e-2
LIMIT_SECONDS = 150.0
LIMIT_RATIO = 1.03
REPEATS = 5
FINAL = Effort(rounds=60, seconds=20.0)
RESULT = RESULTS / "tune.json"
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tune.md"


def main() -> None:
    """Measure, print and write ``results/tune.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="quick runs beside one")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_bundle(ExportOptions(factory=MODEL), folder / "exported", force=False)
        # The thorough run stands in the middle: a machine that slows down is no one's advantage.
        order = ["quick"] * repeats
        order.insert(repeats // 2, "thorough")
        runs = []
        for at, way in enumerate(order):
            runs.append(tuned(folder, way, at))
            print(told(runs[-1]), flush=True)
        race = raced(folder, runs)
    file = write_result(
        "tune", {"what": f"tune {MODEL} --max-error {MAX_ERROR:g}", **judged(runs, race)}
    )
    result = json.loads(file.read_text(encoding="utf-8"))
    print(json.dumps(summary(result), indent=1))
    print(f"wrote {file}")
    PAGE.write_text(redraw(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")


def tuned(folder: Path, way: str, at: int) -> dict[str, Any]:
    """One run on a fresh copy of the bundle; the bundle is kept for the race."""
    path = folder / f"{way}-{at}"
    shutil.copytree(folder / "exported", path)
    arguments = ["tune", str(path), "--max-error", str(MAX_ERROR)]
    arguments += ["--thorough"] if way == "thorough" else []
    before = quiet()
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lrn_deploy", *arguments], cwd=ROOT, check=True, capture_output=True
    )
    seconds = time.perf_counter() - started
    report = TuneReport.model_validate_json((path / "reports" / "tune.json").read_bytes())
    assert report.choice is not None
    assert report.choice.metrics is not None
    for file in (path / "variants").iterdir():  # the race takes the choice alone
        if file.stem != report.choice.artifact:
            file.unlink()
    return {
        "way": way,
        "bundle": path.name,
        "seconds": round(seconds, 2),
        "phases": report.phases,
        "made": len(variants(report, made=True)),
        "not_made": len(variants(report, made=False)),
        "raced": sum(item.raced for item in report.candidates),
        "choice": {
            "artifact": report.choice.artifact,
            "backend": report.choice.backend,
            "threads": report.choice.threads,
            "error": report.choice.metrics.relative_l2,
        },
        "quiet_before": before["quiet"],
        "foreign_cores": report.foreign_cores,
    }


def variants(report: TuneReport, *, made: bool) -> set[str]:
    """Names of the variants that were made, or that were not."""
    return {
        item.artifact
        for item in report.candidates
        if item.reason.startswith("not made") is not made
    } - {"model"}


def raced(folder: Path, runs: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Samples of the distinct choices, by :func:`name_of`, in one interleaved run at batch 1."""
    with ExitStack() as stack:
        candidates = {}
        for run in runs:
            bundle, choice = Bundle.open(folder / run["bundle"]), run["choice"]
            backends = artifact_backends(("cpu",), threads=choice["threads"])
            backend = next(b for b in backends if f"{b.name}:{b.device}" == choice["backend"])
            if name_of(choice) in candidates:
                continue
            session = stack.enter_context(backend.load(bundle.load(choice["artifact"])))
            feeds = {
                name: values[:1]
                for name, values in evaluation_inputs(bundle.manifest).feeds.items()
            }
            candidates[name_of(choice)] = lambda session=session, feeds=feeds: session.run(feeds)
        samples = interleave(candidates, FINAL).samples
    return {name: item.rounds for name, item in samples.items()}


def name_of(choice: Mapping[str, Any]) -> str:
    """A choice in words; two choices of the same name compute the same in the same way."""
    return f"{choice['artifact']} on {choice['backend']}, {choice['threads']} threads"


def judged(
    runs: Sequence[Mapping[str, Any]], race: Mapping[str, Sequence[Sequence[float]]]
) -> dict[str, Any]:
    """What the runs and the samples say: each quick choice's time over the thorough one's."""
    thorough = next(run for run in runs if run["way"] == "thorough")
    theirs = race[name_of(thorough["choice"])]
    rows = []
    for run in runs:
        ours = race[name_of(run["choice"])]
        same = name_of(run["choice"]) == name_of(thorough["choice"])
        ratio = ratio_interval(ours, theirs)
        rows.append(
            {
                **run,
                "same_choice": same,
                "time_over_thorough": {
                    "low": ratio.low,
                    "estimate": ratio.estimate,
                    "high": ratio.high,
                },
            }
        )
    return {
        "limit_seconds": LIMIT_SECONDS,
        "limit_ratio": LIMIT_RATIO,
        "runs": rows,
        "race_s": {name: [list(taken) for taken in rounds] for name, rounds in race.items()},
    }


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that the documentation tells."""
    quick = [run for run in result["runs"] if run["way"] == "quick"]
    thorough = next(run for run in result["runs"] if run["way"] == "thorough")
    ratios = [run["time_over_thorough"]["estimate"] for run in quick]
    return {
        "quick_s": spread([run["seconds"] for run in quick]),
        "thorough_s": thorough["seconds"],
        "quick_phases_s": {
            phase: float(np.median([run["phases"].get(phase, 0.0) for run in quick]))
            for phase in thorough["phases"]
        },
        "thorough_phases_s": thorough["phases"],
        "worst_ratio": max(ratios),
        "within": sum(ratio <= result["limit_ratio"] for ratio in ratios),
        "of": len(quick),
        "fast_enough": sum(run["seconds"] <= result["limit_seconds"] for run in quick),
        "made": [max(run["made"] for run in quick), thorough["made"]],
        "choices": sorted({name_of(run["choice"]) for run in result["runs"]}),
    }


def sentence(result: Mapping[str, Any]) -> str:
    """The summary in words, as docs/tune.md has it."""
    told = summary(result)
    machine, quick, (few, every) = result["machine"], told["quick_s"], told["made"]
    return (
        f"AlexNet with `--max-error 3e-2` on {machine['cores']} cores of an "
        f"{machine['processor']}: {quick['median']:.0f} s ({quick['min']:.0f} to "
        f"{quick['max']:.0f} in {told['of']} runs, {few} variants made), with `--thorough` "
        f"{told['thorough_s']:.0f} s ({every} variants). Raced against the thorough one's, the "
        f"choice took at most {told['worst_ratio']:.2f} times as long."
    )


def redraw(page: str, result: Mapping[str, Any]) -> str:
    """A page with the sentence where ``<!-- tune:begin -->`` stands."""
    lines = textwrap.wrap(sentence(result), 105, break_on_hyphens=False)
    return between(page, "tune", "\n".join(lines))


def told(run: Mapping[str, Any]) -> str:
    """A run in one line."""
    phases = ", ".join(f"{name} {seconds:.0f}" for name, seconds in run["phases"].items())
    return f"{run['way']:<9} {run['seconds']:6.1f} s ({phases}): {name_of(run['choice'])}"


if __name__ == "__main__":
    main()

"""Measure one network: every candidate's error, then all of them in turns at each batch size.

A core that other programs keep busy slows some runtimes more than others. So the rounds of a run
are told apart by what other programs took meanwhile, and only quiet ones count; a run without
enough of them says so and keeps all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.runtimes.candidates import THREADS, Candidate, Run, ours, peers
from benchmarks.runtimes.choices import Choices, tuned
from benchmarks.runtimes.verdicts import CLASSES, Measured, judge_class
from lrn_deploy.backends.protocol import Array
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.export import ExportOptions, export_bundle
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.machine import MAX_FOREIGN_CORES, Usage, foreign_cores, usage
from lrn_deploy.latency.sampling import Timings, interleave
from lrn_deploy.latency.statistics import MIN_ROUNDS, summarize
from lrn_deploy.network import load_network
from lrn_deploy.parity.metrics import Metrics, compare
from lrn_deploy.workflows.optimize.calibration import calibration_inputs
from lrn_deploy.workflows.tune.evaluation import evaluation_inputs

ERROR_BATCH = 8
"""Rows that the images are run in to measure errors."""
BURST_S = 0.5
"""Seconds over which the share of other programs is told; the kernel counts in hundredths."""
DECIMALS = 8
"""Decimals of seconds that are kept of each sample."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long.

    Attributes:
        networks: Names of the zoo.
        efforts: How long to measure at each batch size.
        without: Names of peers to leave out.
    """

    networks: tuple[str, ...]
    efforts: dict[int, Effort]
    without: frozenset[str] = frozenset()


FULL = Plan(
    ("alexnet", "googlenet", "digits"),
    {
        1: Effort(rounds=120, seconds=150.0, min_rounds=60),
        8: Effort(rounds=60, seconds=120.0, min_rounds=40),
        32: Effort(rounds=60, seconds=240.0, min_rounds=40),
    },
)
_SHORT = Effort(rounds=MIN_ROUNDS, seconds=5.0)
QUICK = Plan(("digits",), {1: _SHORT, 8: _SHORT})


@dataclass
class Watch:
    """Cores that other programs kept busy in each round, told in bursts of rounds."""

    start: Usage = field(default_factory=usage)
    foreign: list[float] = field(default_factory=list)

    def round(self, done: int, total: int) -> None:
        """Take note of a round; for ``interleave``."""
        if usage().at - self.start.at >= BURST_S or done == total:
            self.close(done)

    def close(self, done: int) -> None:
        """End a burst after ``done`` rounds in all."""
        now = usage()
        busy = foreign_cores(self.start, now) or 0.0
        self.foreign += [round(busy, 3)] * (done - len(self.foreign))
        self.start = now

    def quiet(self) -> list[int]:
        """The rounds in which others were quiet."""
        return [at for at, busy in enumerate(self.foreign) if busy <= MAX_FOREIGN_CORES]


@dataclass(frozen=True)
class Subject:
    """A candidate that runs, and its error."""

    candidate: Candidate
    metrics: Metrics


def measure(name: str, plan: Plan, tell: Tell) -> dict[str, Any]:
    """One network of the zoo.

    Raises:
        KeyboardInterrupt: If it was interrupted.
    """
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        tell(f"{name}: making the candidates")
        network = load_network(name)
        bundle = export_bundle(ExportOptions(name), Path(folder) / "bundle")
        model = bundle.path / bundle.manifest.artifact("model").file
        calibration = calibration_inputs(bundle.manifest)
        evaluation = evaluation_inputs(bundle.manifest)
        (images,) = evaluation.feeds.values()
        made = [
            *peers(network, model, calibration.inputs, Path(folder), plan.without),
            *ours(bundle),
        ]
        with torch.inference_mode():
            truth = network.module(torch.from_numpy(images)).numpy()
        tell(f"{name}: errors on {evaluation.detail}")
        rows, subjects = [], []
        for candidate in made:
            row, subject = _check(candidate, images, truth)
            rows.append(row)
            subjects += [subject] if subject else []
        choices = tuned(bundle, name, tuple(plan.efforts), tell)
        chosen = {*choices.values()}
        subjects = [
            item
            for item in subjects
            if item.candidate.side == "peer" or item.candidate.name in chosen
        ]
        batches = []
        for batch, effort in plan.efforts.items():
            tell(f"{name}: batch {batch}, {len(subjects)} candidates in turns")
            batches.append(_batch(name, subjects, images, batch, effort, choices))
    torch.compiler.reset()
    return {
        "network": name,
        "weights": network.source.weights.note,
        "calibration": calibration.detail,
        "judged_on": evaluation.detail,
        "candidates": rows,
        "batches": batches,
    }


def _check(
    candidate: Candidate, inputs: Array, truth: Array
) -> tuple[dict[str, Any], Subject | None]:
    """A candidate's row, and the candidate if it runs."""
    row: dict[str, Any] = {
        "name": candidate.name,
        "side": candidate.side,
        "runtime": candidate.runtime,
        "precision": candidate.precision,
    }
    if candidate.run is None:
        return row | {"reason": candidate.reason}, None
    try:
        metrics = compare(_outputs(candidate.run, inputs), truth)
    except (RuntimeError, LrnDeployError) as error:
        return row | {"reason": str(error).strip().splitlines()[0]}, None
    row["error"] = metrics.model_dump(
        mode="json", include={"relative_l2", "worst_relative_l2", "top1_agreement", "inputs"}
    )
    return row, Subject(candidate, metrics)


def _outputs(run: Run, inputs: Array) -> Array:
    """Outputs of all inputs, in batches of exactly ``ERROR_BATCH``, as some compile for each."""
    rows = len(inputs)
    starts = range(0, rows, ERROR_BATCH)
    parts = [run(inputs[np.arange(at, at + ERROR_BATCH) % rows]) for at in starts]
    return np.concatenate(parts)[:rows]


def _batch(
    name: str,
    subjects: Sequence[Subject],
    inputs: Array,
    batch: int,
    effort: Effort,
    choices: Choices,
) -> dict[str, Any]:
    """Time the peers and ours in turns, and judge."""
    x = inputs[np.arange(batch) % len(inputs)]
    turns = {
        item.candidate.name: partial(item.candidate.run, x)
        for item in subjects
        if item.candidate.run
    }
    watch = Watch()
    run = interleave(turns, effort, expected=(RuntimeError, LrnDeployError), on_round=watch.round)
    if not run.complete:
        raise KeyboardInterrupt
    watch.close(max(len(samples.rounds) for samples in run.samples.values()))
    quiet = watch.quiet()
    enough = len(quiet) >= MIN_ROUNDS
    kept = quiet if enough else list(range(len(watch.foreign)))
    ran = [item for item in subjects if not run.samples[item.candidate.name].error]

    measured = [
        Measured(
            item.candidate.name,
            item.candidate.side,
            item.candidate.runtime,
            item.metrics.relative_l2,
            item.metrics.top1_agreement or 0.0,
            [run.samples[item.candidate.name].rounds[at] for at in kept],
        )
        for item in ran
    ]
    return {
        "batch": batch,
        "quiet": enough,
        "foreign_cores": watch.foreign,
        "judging_rounds": kept,
        "timings": [_timing(item, batch, run.samples[item.name]) for item in measured],
        "failed": {key: item.error for key, item in run.samples.items() if item.error},
        "classes": [
            judge_class(measured, choices[class_, batch], name, class_) for class_ in CLASSES
        ],
    }


def _timing(measured: Measured, batch: int, samples: Timings) -> dict[str, Any]:
    summary = summarize(measured.rounds)
    points = {"p25": summary.p25, "median": summary.p50, "p75": summary.p75}
    return {
        "candidate": measured.name,
        "ms_per_image": {key: round(1e3 * value / batch, 6) for key, value in points.items()},
        "steady": samples.steady,
        "samples_s": [[round(value, DECIMALS) for value in taken] for taken in samples.rounds],
    }

"""The candidates of tune: which there are, and each loaded, judged and timed alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lrn_deploy.backends.protocol import Array, Backend, Session
from lrn_deploy.backends.registry import DEVICES, artifact_backends, is_worth_trying, place, runs
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import LrnDeployError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.latency.effort import Effort
from lrn_deploy.latency.sampling import Timings, interleave
from lrn_deploy.latency.statistics import (
    MIN_ROUNDS,
    median_interval,
    noise,
    summarize,
    throughput,
)
from lrn_deploy.parity.metrics import Metrics, compare
from lrn_deploy.placement import MODEL, Placement
from lrn_deploy.tuning.decide import refusal
from lrn_deploy.tuning.demand import Demand
from lrn_deploy.tuning.schema import Candidate, Point
from lrn_deploy.workflows.tune.evaluation import Evaluation
from lrn_deploy.workflows.validate.checks import fitting_batches, run_in_batches

JUDGING_BATCH = 8
SCREENING = Effort(rounds=5, seconds=1.0)
"""How long a candidate is measured alone, to tell whether it deserves more."""


@dataclass(frozen=True)
class Contender:
    """A candidate and what it is run with."""

    candidate: Candidate
    backend: Backend

    @property
    def alone(self) -> float:
        """Seconds of an item in the best run alone: what it can do when nothing disturbs it.

        Infinite if it could not run.
        """
        runs = (
            min(taken) / point.batch for point in self.candidate.points for taken in point.samples
        )
        return min(runs, default=float("inf"))

    @property
    def typical(self) -> float:
        """Seconds of an item in the median run; infinite if it could not run."""
        return min((at.seconds / at.batch for at in self.candidate.points), default=float("inf"))

    def changed(self, **changes: object) -> Contender:
        """It with a candidate in which some things differ."""
        return Contender(self.candidate.model_copy(update=changes), self.backend)

    def load(self, bundle: Bundle) -> Session:
        """Its session; see :class:`lrn_deploy.backends.protocol.Backend`."""
        return self.backend.load(bundle.load(self.candidate.artifact))


def contenders(
    bundle: Bundle,
    devices: tuple[str, ...] | None,
    threads: Sequence[int],
    names: Collection[str] | None = None,
) -> Iterator[Contender | Candidate]:
    """Every artifact on every backend that runs it, with every number of threads.

    Args:
        bundle: The bundle.
        devices: Where to run; None takes every device that is there.
        threads: Numbers of threads on the CPU.
        names: Of the artifacts; None for all.

    Yields:
        A candidate without a contender is one that cannot run here.
    """
    for name, artifact in bundle.manifest.artifacts.items():
        if names is not None and name not in names:
            continue
        absent = []
        found = False
        for count in threads:
            for backend in artifact_backends(devices or DEVICES, threads=count):
                on_cpu = backend.device == "cpu"
                if not runs(backend, artifact) or (not on_cpu and count != threads[0]):
                    continue
                if not is_worth_trying(backend, artifact):
                    continue
                placement = place(name, backend, count if on_cpu else 0)
                candidate = Candidate(
                    artifact=name,
                    sha256=artifact.sha256,
                    backend=placement.where,
                    threads=placement.threads,
                    precision=artifact.precision,
                )
                probe = backend.probe()
                if probe.available:
                    found = True
                    yield Contender(candidate, backend)
                elif count == threads[0]:
                    absent.append(
                        candidate.model_copy(update={"threads": 0, "reason": probe.detail})
                    )
        if not found:
            yield from absent


@dataclass(frozen=True)
class Truth:
    """What candidates are held against.

    Attributes:
        outputs: Of the canonical graph, by name.
        placement: Where it ran; 0 threads.
        detail: What computed it, in words.
    """

    outputs: dict[str, Array]
    placement: Placement
    detail: str

    def metrics(self, outputs: dict[str, Array]) -> Metrics:
        """The errors of outputs: of several outputs the errors of the worst."""
        return max(
            (compare(outputs[name], truth) for name, truth in self.outputs.items()),
            key=lambda found: found.relative_l2,
        )


def reference(bundle: Bundle, inputs: Evaluation) -> Truth:
    """What the canonical graph answers on the CPU.

    Raises:
        MissingError: If nothing can run it here.
    """
    model = bundle.manifest.artifact(MODEL)
    for backend in artifact_backends(("cpu",)):
        probe = backend.probe()
        if probe.available and runs(backend, model):
            with backend.load(bundle.load(MODEL)) as session:
                outputs = run_in_batches(session, inputs.feeds, _judging_batch(session))
            detail = f"{MODEL} on {backend.name} {probe.version}"
            return Truth(outputs, place(MODEL, backend), detail)
    raise MissingError(
        "Nothing can run the canonical graph on the CPU, so errors cannot be measured.",
        f"Install ONNX Runtime with: {install('cpu')}",
    )


def screen(
    contender: Contender,
    bundle: Bundle,
    inputs: Evaluation,
    truth: Truth,
    demand: Demand,
    batch: int,
    known: Metrics | None = None,
) -> Candidate:
    """Judge a candidate's outputs, and time it alone for a moment.

    Args:
        contender: The candidate; its session lives no longer than this call.
        bundle: The bundle.
        inputs: What to judge on.
        truth: What to hold its outputs against.
        demand: What is asked for.
        batch: Items in a run to time.
        known: Its errors, if they were measured before.

    Returns:
        The candidate with its metrics, and one point unless it could not run.
    """
    candidate = contender.candidate
    artifact = bundle.manifest.artifact(candidate.artifact)
    try:
        with contender.load(bundle) as session:
            metrics = known or truth.metrics(
                run_in_batches(session, inputs.feeds, _judging_batch(session))
            )
            size = fitting_batches(artifact, session, (batch,))[0]
            feeds = rows(inputs, size)
            run = interleave({"it": lambda: session.run(feeds)}, SCREENING)
    except LrnDeployError as error:
        return candidate.model_copy(update={"reason": error.message})
    if not run.complete:
        raise KeyboardInterrupt
    reason = refusal(metrics, demand)
    return candidate.model_copy(
        update={
            "metrics": metrics,
            "within": not reason,
            "reason": reason,
            "points": (point(size, run.samples["it"]),),
        }
    )


def rows(inputs: Evaluation, batch: int) -> dict[str, Array]:
    """Feeds of ``batch`` rows, from the front again where there are too few."""
    taken = np.arange(batch) % inputs.count
    return {name: values[taken] for name, values in inputs.feeds.items()}


def _judging_batch(session: Session) -> int:
    return session.inputs[0].fixed_batch or JUDGING_BATCH


def point(batch: int, samples: Timings) -> Point:
    """What the samples of one candidate say."""
    rounds = tuple(tuple(round(value, 9) for value in taken) for taken in samples.rounds)
    return Point(
        batch=batch,
        median=median_interval(rounds) if len(rounds) >= MIN_ROUNDS else None,
        seconds=summarize(rounds).p50,
        throughput=throughput(rounds, batch),
        noise=noise(rounds),
        samples=rounds,
    )

"""What ``reports/tune.json`` holds; every table and chart of it is drawn from these models.

Times are in seconds.
"""

from __future__ import annotations

from pydantic import Field

from lrn_deploy.circumstances import Record
from lrn_deploy.latency.circumstances import MeasuredReport
from lrn_deploy.latency.statistics import Interval, Noise
from lrn_deploy.parity.metrics import Metrics
from lrn_deploy.placement import Placement
from lrn_deploy.tuning.demand import Demand

SCHEMA_VERSION = 1


class Point(Record):
    """A candidate measured at one batch size.

    Attributes:
        batch: Items in a run.
        median: Median of a run with its confidence interval; None after fewer than five rounds.
        seconds: The median alone.
        throughput: Items in a second, runs following one another.
        noise: Whether the samples can be trusted.
        samples: Seconds of each timed run, by round.
    """

    batch: int
    median: Interval | None
    seconds: float
    throughput: float
    noise: Noise
    samples: tuple[tuple[float, ...], ...]


class Candidate(Record):
    """One artifact on one backend with one number of threads.

    Attributes:
        artifact: The artifact's name.
        sha256: Digest of its entry file; empty if it could not be made.
        backend: Backend and device, ``openvino:cpu``.
        threads: Threads of one run; 0 where the backend has no such setting.
        precision: What it computes in.
        metrics: Its distance from the fp32 graph on the images; None if it could not run.
        within: Whether it is within the demand's errors.
        points: What was measured; empty if it could not run.
        raced: Whether that was in turns with others; else it was timed alone for a moment.
        front: Whether no other candidate is both faster and more accurate.
        reason: Why it is out, or was not raced; empty if neither.
    """

    artifact: str
    sha256: str
    backend: str
    threads: int
    precision: str
    metrics: Metrics | None = None
    within: bool = False
    points: tuple[Point, ...] = ()
    raced: bool = False
    front: bool = False
    reason: str = ""

    @property
    def placement(self) -> Placement:
        """Where it runs."""
        return Placement.read(self.artifact, self.backend, self.threads)

    @property
    def name(self) -> str:
        """Artifact, backend and threads in words that tell candidates apart."""
        if not self.backend:
            return self.artifact
        threads = f", {self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.artifact} on {self.backend}{threads if self.threads else ''}"

    def at(self, batch: int) -> Point | None:
        """What was measured at ``batch``, if anything was."""
        return next((point for point in self.points if point.batch == batch), None)


class TuneReport(MeasuredReport):
    """The answer of ``tune``.

    Attributes:
        demand: What was asked for.
        inputs: On what inputs the errors were measured, in one sentence.
        candidates: All of them, best first; those that are out come last.
        chosen: Index of the choice in ``candidates``; None if none is within the demand, or it was
            interrupted.
        batch: Items in a run for which it was chosen; None without a choice.
        explanation: Why, in one sentence.
        phases: Seconds of the run by phase: making, judging, validating, racing.
        thorough: Whether everything was made, validated and raced to the end.
    """

    schema_version: int = SCHEMA_VERSION
    demand: Demand
    inputs: str
    candidates: tuple[Candidate, ...]
    chosen: int | None
    batch: int | None
    explanation: str
    phases: dict[str, float] = Field(default_factory=dict)
    thorough: bool = True

    @property
    def choice(self) -> Candidate | None:
        """The chosen candidate."""
        return None if self.chosen is None else self.candidates[self.chosen]

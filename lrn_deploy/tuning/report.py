"""What ``reports/tune.json`` holds; every table and chart of it is drawn from these models.

Times are in seconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lrn_deploy.latency.machine import Conditions
from lrn_deploy.latency.statistics import Interval, Noise
from lrn_deploy.parity.metrics import Metrics

SCHEMA_VERSION = 1

Objective = Literal["latency", "throughput"]
"""The shortest run of a given batch, or the most items in a second at any batch."""


class Record(BaseModel):
    """Base of everything in the report."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Demand(Record):
    """What was asked for.

    Attributes:
        max_error: Largest relative L2 error against the fp32 graph; None does not bind.
        min_agreement: Smallest share of inputs with the same best class; None does not bind.
        objective: What is to be best.
        batch: Items in a run, for the objective ``latency``.
        max_latency: Longest median of a run in seconds, for ``throughput``; None does not bind.
    """

    max_error: float | None
    min_agreement: float | None
    objective: Objective = "latency"
    batch: int = 1
    max_latency: float | None = None


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
    def name(self) -> str:
        """Artifact, backend and threads in words that tell candidates apart."""
        if not self.backend:
            return self.artifact
        threads = f", {self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.artifact} on {self.backend}{threads if self.threads else ''}"

    def at(self, batch: int) -> Point | None:
        """What was measured at ``batch``, if anything was."""
        return next((point for point in self.points if point.batch == batch), None)


class TuneReport(Record):
    """The answer of ``tune``.

    Attributes:
        schema_version: Version of this format.
        created: Time in UTC, ISO 8601.
        model: Name of the network.
        complete: False if it was interrupted; then nothing was chosen.
        demand: What was asked for.
        inputs: On what inputs the errors were measured, in one sentence.
        candidates: All of them, best first; those that are out come last.
        chosen: Index of the choice in ``candidates``; None if none is within the demand.
        batch: Items in a run for which it was chosen; None without a choice.
        explanation: Why, in one sentence.
        conditions: The machine before the run.
        load_after: Load average after the run.
        foreign_cores: Cores that other processes kept busy meanwhile; None where unknown.
        warnings: Why not to trust the answer.
        machine: Processor, number of cores, operating system.
        versions: Versions of Python and of the tools.
        seconds: How long it took.
        phases: Seconds of it by phase: making, judging, validating, racing.
        thorough: Whether everything was made, validated and raced to the end.
    """

    schema_version: int = SCHEMA_VERSION
    created: str
    model: str
    complete: bool
    demand: Demand
    inputs: str
    candidates: tuple[Candidate, ...]
    chosen: int | None
    batch: int | None
    explanation: str
    conditions: Conditions
    load_after: float | None
    foreign_cores: float | None
    warnings: tuple[str, ...] = ()
    machine: dict[str, str]
    versions: dict[str, str]
    seconds: float
    phases: dict[str, float] = {}
    thorough: bool = True

    @property
    def choice(self) -> Candidate | None:
        """The chosen candidate."""
        return None if self.chosen is None else self.candidates[self.chosen]

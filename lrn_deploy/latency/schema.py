"""What ``reports/latency.json`` holds; every table and chart of it is drawn from these models.

Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

from typing import Literal

from lrn_deploy.circumstances import Record
from lrn_deploy.latency.circumstances import MeasuredReport
from lrn_deploy.latency.floor import Bound, Hardware
from lrn_deploy.latency.statistics import Answer, Interval, Noise, Summary
from lrn_deploy.placement import Placement

SCHEMA_VERSION = 1


class FirstRun(Record):
    """What the first answer costs, measured in a process of its own.

    Attributes:
        load: Importing the runtime and making the session.
        first: The first run, of a batch of 1.
        peak_memory: Largest resident memory of the process, which also ran the largest batch;
            None where the system does not say.
        base_memory: The same before the runtime was loaded.
        error: Why it could not be measured; empty if it was.
    """

    load: float | None = None
    first: float | None = None
    peak_memory: int | None = None
    base_memory: int | None = None
    error: str = ""


class Row(Record):
    """One artifact on one backend at one batch size.

    Attributes:
        bundle: ``this`` or, with --compare, ``other``.
        artifact: The artifact's name.
        sha256: Digest of its entry file.
        backend: Backend and device, ``onnxruntime:cpu``.
        precision: What the graph computes in.
        batch: Items in a run; None for a row that could not be loaded.
        reason: Why there are no samples; empty if there are.
        summary: The distribution of all samples pooled.
        throughput: Items in a second, runs following one another.
        noise: Whether the samples can be trusted.
        steady: Whether warm-up reached steady times.
        warmup_runs: Runs before the first sample.
        bound: The hardware floor of this artifact at this batch.
        over_bound: The median over the bound.
        samples: Seconds of each timed run, by round.
    """

    bundle: Literal["this", "other"] = "this"
    artifact: str
    sha256: str
    backend: str
    precision: str
    batch: int | None = None
    reason: str = ""
    summary: Summary | None = None
    throughput: float | None = None
    noise: Noise | None = None
    steady: bool = False
    warmup_runs: int = 0
    bound: Bound | None = None
    over_bound: float | None = None
    samples: tuple[tuple[float, ...], ...] = ()

    @property
    def placement(self) -> Placement:
        """Where it runs."""
        return Placement.read(self.artifact, self.backend)


class Calibration(Record):
    """The calibration workload, timed in the rounds of one batch size.

    Attributes:
        version: Version of the workload.
        samples: Seconds of each timed run, by round, by batch size.
    """

    version: int
    samples: dict[int, tuple[tuple[float, ...], ...]]


class Start(Record):
    """The first run of one artifact on one backend."""

    bundle: Literal["this", "other"] = "this"
    artifact: str
    backend: str
    cost: FirstRun


class Preparation(Record):
    """Preparing one image, which no other time includes.

    Attributes:
        image: What the image is.
        decode: Decoding it.
        preprocess: Resizing, cropping and normalising it.
    """

    image: str
    decode: Summary
    preprocess: Summary


class LayerTime(Record):
    """One layer, with everything that the runtime ran for it.

    Attributes:
        name: The module of the network, the node of the graph, or the runtime's own name.
        kind: ``LRN``, ``Conv`` and so on, as the graph calls it where it is known there.
        seconds: Median over the runs that count.
        share: The same as a part of the whole run.
    """

    name: str
    kind: str
    seconds: float
    share: float


class Layers(Record):
    """Where the time of a run goes, measured in a session of its own.

    Attributes:
        artifact: The artifact's name.
        sha256: Digest of its entry file.
        backend: Backend and device.
        batch: Items in a run.
        runs: Number of runs that count: the quicker half of those that were made.
        whole: Median of these runs, which timing the layers makes slower.
        rest: Median of what no layer explains: dispatching, copies, and waiting in between. Medians
            of parts do not add up to that of the whole exactly.
        layers: In the order in which they ran.
    """

    artifact: str
    sha256: str
    backend: str
    batch: int
    runs: int
    whole: float
    rest: float
    layers: tuple[LayerTime, ...]


class Comparison(Record):
    """One artifact's time over what it is compared with.

    Attributes:
        artifact: The artifact.
        against: What it is compared with, in words.
        backend: Backend and device of both.
        batch: Items in a run.
        ratio: Median of the rounds' ratios, above 1 where this bundle is slower; None if unknown.
        answer: Held against the limit.
        reason: Why it is inconclusive; empty if it is not.
    """

    artifact: str
    against: str
    backend: str
    batch: int
    ratio: Interval | None
    answer: Answer
    reason: str = ""


class LatencyReport(MeasuredReport):
    """The answer of ``profile``.

    Attributes:
        timed: What a time includes.
        threads: Threads of one run; 0 where the runtime chose.
        rows: The measurements.
        starts: First runs.
        layers: Where the time goes, of each artifact on each backend that tells.
        preparation: Preparing an image; None if the network takes none.
        calibration: The calibration workload.
        comparisons: With --compare.
        max_regression: Slowdown that was let pass, 0.05 for 5 %.
        hardware: What the machine can do at best.
    """

    schema_version: int = SCHEMA_VERSION
    timed: str
    threads: int
    rows: tuple[Row, ...]
    starts: tuple[Start, ...] = ()
    layers: tuple[Layers, ...] = ()
    preparation: Preparation | None = None
    calibration: Calibration
    comparisons: tuple[Comparison, ...] = ()
    max_regression: float
    hardware: Hardware | None = None

    @property
    def regressed(self) -> bool:
        """Whether a comparison found a regression."""
        return any(comparison.answer == "regression" for comparison in self.comparisons)

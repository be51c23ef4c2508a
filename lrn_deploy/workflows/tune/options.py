"""How to tune: what the command line and other callers can choose."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.latency.sampling import Effort
from lrn_deploy.parity.budgets import TABLE
from lrn_deploy.tuning.report import Demand, Objective

UNCHANGED = TABLE["fp32"]["ordinary"]
"""The error that is asked for where none is given: the numbers stay what they are in fp32."""

SECONDS = 10.0
"""How long the best candidates are measured at each batch size."""


@dataclass(frozen=True)
class TuneOptions:
    """How to tune.

    Attributes:
        max_error: Largest relative L2 error against the fp32 graph; None does not bind, unless
            min_agreement is None, too: then it is :data:`UNCHANGED`.
        min_agreement: Smallest share of inputs whose best class stays; None does not bind.
        objective: ``latency`` at ``batch``, or ``throughput`` at any batch up to ``max_batch``.
        batch: Items in a run for ``latency``.
        max_batch: Largest of the batches 1, 2, 4, … that are measured beside ``batch``.
        max_latency: Longest median of a run in seconds, for ``throughput``.
        threads: Numbers of threads to try on the CPU; empty for 1 and every core.
        devices: Where to run; None takes every device that is there.
        images: Folder of images to judge on; None for real ones that fit the network.
        calibration: Folder of images for int8, likewise.
        effort: How long to measure the best candidates at each batch size.
        thorough: Make, judge and validate everything, and race to the end, instead of stopping
            where the answer is clear.

    Raises:
        BadInputError: If a number is out of range.
    """

    max_error: float | None = None
    min_agreement: float | None = None
    objective: Objective = "latency"
    batch: int = 1
    max_batch: int = 8
    max_latency: float | None = None
    threads: tuple[int, ...] = ()
    devices: tuple[str, ...] | None = None
    images: Path | None = None
    calibration: Path | None = None
    effort: Effort = field(default_factory=lambda: Effort(rounds=60, seconds=SECONDS))
    thorough: bool = False

    def __post_init__(self) -> None:
        for name, value in (("error", self.max_error), ("latency", self.max_latency)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise BadInputError(f"The largest {name} must be a positive number, got {value}.")
        if self.min_agreement is not None and not 0 < self.min_agreement <= 1:
            raise BadInputError(
                f"The agreement must be above 0 and at most 1, got {self.min_agreement}.",
                "0.99 asks that 99 % of the inputs keep their best class.",
            )
        if min(self.batch, self.max_batch, *self.threads, 1) < 1:
            raise BadInputError("Batch sizes and numbers of threads must be 1 or more.")
        if self.max_latency is not None and self.objective != "throughput":
            raise BadInputError(
                "A largest latency goes with the objective throughput: latency itself is "
                "always made as short as it can be.",
                "Add --objective throughput, or leave --max-latency out.",
            )

    @property
    def demand(self) -> Demand:
        """What is asked of a candidate."""
        nothing = self.max_error is None and self.min_agreement is None
        return Demand(
            max_error=UNCHANGED if nothing else self.max_error,
            min_agreement=self.min_agreement,
            objective=self.objective,
            batch=self.batch,
            max_latency=self.max_latency,
        )

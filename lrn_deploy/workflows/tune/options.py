"""How to tune: what the command line and other callers can choose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrn_deploy.errors import BadInputError
from lrn_deploy.latency.effort import Effort
from lrn_deploy.options import Written, explained, option
from lrn_deploy.parity.budgets import TABLE
from lrn_deploy.tuning.objective import Objective

if TYPE_CHECKING:
    from lrn_deploy.tuning.demand import Demand

UNCHANGED = TABLE["fp32"]["ordinary"]
"""The error that is asked for where none is given: the numbers stay what they are in fp32."""


@explained
@dataclass(frozen=True)
class TuneOptions:
    """How to tune.

    Raises:
        BadInputError: If a number is out of range.
    """

    max_error: float | None = option(
        None,
        "Largest relative L2 error against the fp32 graph. Default: that of fp32 itself, or any "
        "where only an agreement is asked for.",
        metavar="E",
    )
    min_agreement: float | None = option(
        None,
        "Smallest share of inputs that keep their best class, 0.99 for instance.",
        metavar="SHARE",
    )
    objective: Objective = option(
        "latency",
        "The shortest run at ``batch``, or the most items in a second at any batch.",
        line="The shortest run at --batch, or the most items in a second at any batch.",
    )
    batch: int = option(1, "Items in a run, for latency.")
    max_batch: int = option(8, "Measure batches of 1, 2, 4, ...")
    max_latency: float | None = option(
        None,
        "Longest median of a run in seconds, for the objective ``throughput``.",
        line="Longest run, for --objective throughput.",
        metavar="MS",
        written=Written(float, lambda milliseconds: milliseconds / 1e3, lambda value: value * 1e3),
    )
    threads: tuple[int, ...] = option(
        (),
        "Numbers of threads to try on the CPU; empty for 1 and every core.",
        line="Number of threads to try on the CPU; may be repeated. Default: 1 and every core.",
    )
    devices: tuple[str, ...] | None = option(
        None,
        "Run on these only, ``cpu``, ``cuda`` or ``cuda:N``; None takes every device that is "
        "there.",
        flag="device",
        line="Run on cpu, cuda or cuda:N only; may be repeated.",
    )
    images: Path | None = option(
        None,
        "Folder of images to judge on. Default: real ones that fit the network.",
        path="existing folder",
    )
    calibration: Path | None = option(
        None, "Folder of images for int8, others than those to judge on.", path="existing folder"
    )
    effort: Effort = option(
        Effort(rounds=60, seconds=10.0),
        "How long to race the best candidates at each batch size.",
        parts={"seconds": "How long to race the best candidates at each batch size."},
    )
    thorough: bool = option(
        False, "Make, validate and race everything, however clear the answer is."
    )

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
        from lrn_deploy.tuning.demand import Demand  # pydantic would make ``--help`` wait

        nothing = self.max_error is None and self.min_agreement is None
        return Demand(
            max_error=UNCHANGED if nothing else self.max_error,
            min_agreement=self.min_agreement,
            objective=self.objective,
            batch=self.batch,
            max_latency=self.max_latency,
        )

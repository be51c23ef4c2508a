"""What is asked of the way to run a network."""

from __future__ import annotations

from lrn_deploy.circumstances import Record
from lrn_deploy.tuning.objective import Objective


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

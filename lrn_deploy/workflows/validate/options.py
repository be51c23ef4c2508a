"""How to validate: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.options import Written, binary_size, explained, option
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.placement import Placement

BATCHES = (1, 3, 8)
"""One, an odd number, and a maximum."""


def batches_up_to(largest: int) -> tuple[int, ...]:
    """Batch sizes to check when ``largest`` is the maximum: 1, 3 and that.

    Raises:
        BadInputError: If it is below 1.
    """
    if largest < 1:
        raise BadInputError(f"The largest batch size must be 1 or more, got {largest}.")
    return (*(batch for batch in BATCHES[:-1] if batch < largest), largest)


@explained
@dataclass(frozen=True)
class ValidateOptions:
    """How to validate."""

    images: Path | None = option(
        None, "Also check on the pictures in this folder (at most 64).", path="folder"
    )
    batches: tuple[int, ...] = option(
        BATCHES,
        "Batch sizes to run at; the largest also says how many random inputs are made.",
        flag="max-batch",
        line="Check at batch sizes 1, 3 and this one.",
        written=Written(int, batches_up_to, max),
    )
    budgets: Budgets = option(
        Budgets(),
        "The error budgets.",
        parts={"max_error": "", "max_active_error": "", "max_probe_error": ""},
    )
    layerwise: bool = option(False, "Compare every layer; name the first that drifts.")
    devices: tuple[str, ...] | None = option(
        None,
        "Run on these only, ``cpu``, ``cuda`` or ``cuda:N``; None takes every device that is "
        "there.",
        flag="device",
        line="Run on cpu, cuda or cuda:N only, and fail if it is not there; may be repeated.",
    )
    gpu_memory: int | None = option(
        None,
        "Most bytes of GPU memory that one artifact may take; None for all that is free.",
        line="Most GPU memory that the bundle may take, 2G for instance; checked at load.",
        metavar="SIZE",
        written=Written(str, binary_size),
    )
    placements: frozenset[Placement] | None = option(
        None,
        "Which artifacts to check on which backends; None checks all on every one.",
        flag=None,
    )

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise BadInputError(f"Batch sizes must be 1 or more, got {list(self.batches)}.")

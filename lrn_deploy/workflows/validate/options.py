"""How to validate: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.parity.budgets import Budgets

BATCHES = (1, 3, 8)
"""One, an odd number, and a maximum."""


@dataclass(frozen=True)
class ValidateOptions:
    """How to validate.

    Attributes:
        images: A folder of pictures to check on as well.
        batches: Batch sizes to run at; the largest also says how many random inputs are made.
        budgets: The error budgets.
        layerwise: Compare every layer, and name the first over budget.
        devices: Where to run; None takes every device that is there.
        gpu_memory: Most bytes of GPU memory that one artifact may take; None for all that is free.
        artifacts: Names of those to check; None checks all.
    """

    images: Path | None = None
    batches: tuple[int, ...] = BATCHES
    budgets: Budgets = field(default_factory=Budgets)
    layerwise: bool = False
    devices: tuple[str, ...] | None = None
    gpu_memory: int | None = None
    artifacts: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise BadInputError(f"Batch sizes must be 1 or more, got {list(self.batches)}.")


def batches_up_to(largest: int) -> tuple[int, ...]:
    """Batch sizes to check when ``largest`` is the maximum: 1, 3 and that.

    Raises:
        BadInputError: If it is below 1.
    """
    if largest < 1:
        raise BadInputError(f"The largest batch size must be 1 or more, got {largest}.")
    return (*(batch for batch in BATCHES[:-1] if batch < largest), largest)

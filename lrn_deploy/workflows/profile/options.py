"""How to profile: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass, field

from lrn_deploy.errors import BadInputError
from lrn_deploy.latency.sampling import Effort

MAX_REGRESSION = 0.05


@dataclass(frozen=True)
class ProfileOptions:
    """How to profile.

    Attributes:
        batches: Batch sizes, each measured in an interleaved run of its own.
        effort: How long to measure at each of them.
        threads: Threads of one run on the CPU; 0 lets the runtime choose.
        devices: Where to run; None takes every device that is there.
        artifacts: Names of the artifacts to measure; empty for all.
        max_regression: Slowdown that a comparison lets pass, 0.05 for 5 %.
        first_run: Measure first runs and peak memory, each in a process of its own.
        layers: Measure where the time goes, each in a session of its own.
    """

    batches: tuple[int, ...] = (1, 2, 4, 8)
    effort: Effort = field(default_factory=Effort)
    threads: int = 0
    devices: tuple[str, ...] | None = None
    artifacts: tuple[str, ...] = ()
    max_regression: float = MAX_REGRESSION
    first_run: bool = True
    layers: bool = True

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise BadInputError(f"Batch sizes must be 1 or more, got {list(self.batches)}.")
        if self.threads < 0:
            raise BadInputError(f"The number of threads must be 0 or more, got {self.threads}.")
        if self.effort.rounds < 1:
            raise BadInputError(
                f"The number of rounds must be 1 or more, got {self.effort.rounds}."
            )
        if not self.effort.seconds > 0:
            raise BadInputError(f"The seconds must be above 0, got {self.effort.seconds}.")
        if not self.max_regression >= 0:
            raise BadInputError(
                f"The regression to let pass must be 0 or more, got {self.max_regression:.0%}."
            )


def powers_up_to(largest: int) -> tuple[int, ...]:
    """Batch sizes 1, 2, 4, … and ``largest`` itself.

    Raises:
        BadInputError: If it is below 1.
    """
    if largest < 1:
        raise BadInputError(f"The largest batch size must be 1 or more, got {largest}.")
    powers = [1 << exponent for exponent in range(largest.bit_length())]
    return tuple(dict.fromkeys((*powers, largest)))

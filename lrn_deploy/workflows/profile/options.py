"""How to profile: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.latency.effort import Effort
from lrn_deploy.options import Written, explained, option


def powers_up_to(largest: int) -> tuple[int, ...]:
    """Batch sizes 1, 2, 4, … and ``largest`` itself.

    Raises:
        BadInputError: If it is below 1.
    """
    if largest < 1:
        raise BadInputError(f"The largest batch size must be 1 or more, got {largest}.")
    powers = [1 << exponent for exponent in range(largest.bit_length())]
    return tuple(dict.fromkeys((*powers, largest)))


@explained
@dataclass(frozen=True)
class ProfileOptions:
    """How to profile."""

    batches: tuple[int, ...] = option(
        (1, 2, 4, 8),
        "Batch sizes, each measured in an interleaved run of its own.",
        flag="max-batch",
        line="Measure batches of 1, 2, 4, ... and this.",
        written=Written(int, powers_up_to, max),
    )
    effort: Effort = option(
        Effort(), "How long to measure at each of them.", parts={"rounds": "", "seconds": ""}
    )
    threads: int = option(0, "Threads of a run on the CPU; 0: the default.")
    devices: tuple[str, ...] | None = option(
        None,
        "Run on these only, ``cpu``, ``cuda`` or ``cuda:N``; None takes every device that is "
        "there.",
        flag="device",
        line="Run on cpu, cuda or cuda:N only, and fail if it is not there; may be repeated.",
    )
    artifacts: tuple[str, ...] = option(
        (),
        "Names of the artifacts to measure; empty for all.",
        flag="artifact",
        line="Only this one; may be repeated.",
    )
    max_regression: float = option(
        0.05,
        "Slowdown that a comparison lets pass, 0.05 for 5 %.",
        line="With --compare: exit with 1 if an artifact is surely slower by more.",
        metavar="PERCENT",
        written=Written(float, lambda percent: percent / 100, lambda share: share * 100),
    )
    first_run: bool = option(
        True, "Measure first runs and peak memory, each in a process of its own.", flag=None
    )
    against: Path | None = option(
        None,
        "A bundle's folder, an earlier ``latency.json``, or the name of an artifact.",
        flag="compare",
        line="Compare with another bundle or artifact in turns, or with an earlier latency.json.",
        metavar="BUNDLE|ARTIFACT|FILE",
        path="any",
    )
    layers: bool = option(True, "Also tell where the time goes, from a session of its own.")

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

"""A request while it waits and runs, and what becomes of it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Timing:
    """Where the time of one request went, in nanoseconds.

    Attributes:
        queue: From its arrival until its batch was formed.
        compute_input: Putting the batch's inputs together.
        compute_infer: Running the network.
        compute_output: Taking the batch's outputs apart.
        batch_rows: Rows of the batch that it ran in.
        arrived: When it came, on the monotonic clock.
    """

    queue: int
    compute_input: int
    compute_infer: int
    compute_output: int
    batch_rows: int
    arrived: int

    @property
    def compute(self) -> int:
        """All of the compute."""
        return self.compute_input + self.compute_infer + self.compute_output


@dataclass(frozen=True)
class Outcome:
    """The answer to one job: its own rows of every output."""

    outputs: dict[str, Array]
    timing: Timing


@dataclass(eq=False)
class Job:
    """One request in the queue.

    Attributes:
        inputs: One array for each input of the network, each with ``rows`` rows.
        rows: Rows, the batch size that the caller sent.
        arrived: When, in nanoseconds of the monotonic clock.
        deadline: When an answer is of no use any more, on the same clock; None: never.
        priority: 1 is the highest.
        caller: Whose it is; callers are served in turns.
        future: Where the outcome goes; cancelling it takes the job out of the queue.
    """

    inputs: dict[str, Array]
    rows: int
    arrived: int
    deadline: int | None = None
    priority: int = 1
    caller: str = ""
    future: Future[Outcome] = field(default_factory=Future)
    size: int = field(init=False)
    shape: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(array.nbytes for array in self.inputs.values())
        self.shape = tuple(array.shape[1:] for array in self.inputs.values())

    def late(self, now: int) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and now >= self.deadline

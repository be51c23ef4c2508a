"""What a caller asks a network for: arrays, which outputs it wants and in what form, until when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Place:
    """A stretch of shared memory.

    Attributes:
        region: Name of the region.
        offset: Bytes from the beginning of the region.
        size: Bytes.
    """

    region: str
    offset: int
    size: int


@dataclass(frozen=True)
class OutputForm:
    """How one output is to be returned.

    Attributes:
        name: The output.
        binary: As raw bytes rather than as JSON.
        classes: For the classification extension: how many; 0: the output itself.
        place: The shared memory to put it into; None: it travels in the answer.
    """

    name: str
    binary: bool = False
    classes: int = 0
    place: Place | None = None


@dataclass(frozen=True)
class InferRequest:
    """An inference request, whatever transport brought it.

    Attributes:
        inputs: The arrays by name, each with the shape that the caller claims.
        outputs: The outputs to return, in that order; empty for all, as ``binary`` says.
        binary: The form of outputs that ``outputs`` does not list.
        timeout_us: The caller's ``timeout`` in microseconds; 0: none.
        priority: The caller's ``priority``; 0: the default.
        id: The caller's own id of it.
        deadline: Of the transport, in nanoseconds of the monotonic clock; None: none.
        caller: Whose it is.
    """

    inputs: dict[str, Array]
    outputs: tuple[OutputForm, ...] = ()
    binary: bool = False
    timeout_us: int = 0
    priority: int = 0
    id: str = ""
    deadline: int | None = field(default=None, compare=False)
    caller: str = field(default="", compare=False)

    def sent_by(self, caller: str, deadline: int | None = None) -> InferRequest:
        """The same, of a caller, with a deadline of the transport."""
        return InferRequest(
            self.inputs,
            self.outputs,
            self.binary,
            self.timeout_us,
            self.priority,
            self.id,
            deadline,
            caller,
        )

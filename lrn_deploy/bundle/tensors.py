"""What a network takes and gives: name, type and shape of each tensor, and which integers."""

from __future__ import annotations

from typing import Literal

from lrn_deploy.bundle.record import Record


class IntegerValues(Record):
    """Which whole numbers an input takes.

    Attributes:
        low: The smallest.
        high: The largest.
        source: ``table`` if they are indices into a table of the graph, so that others are wrong;
            ``example`` if the module's ``example_inputs`` hold such, ``assumed`` if nobody said.
    """

    low: int
    high: int
    source: Literal["table", "example", "assumed"]

    @property
    def described(self) -> str:
        """For people: ``0 to 99, the rows of its table``."""
        why = {
            "table": "the rows of its table",
            "example": "as in the example inputs",
            "assumed": "assumed",
        }
        return f"{self.low} to {self.high}, {why[self.source]}"


class TensorSpec(Record):
    """One input or output of a network.

    Attributes:
        name: The tensor's name in the graph.
        dtype: numpy's name of the element type, ``float32`` or ``uint8`` for instance.
        shape: One entry for each axis; a string is a dynamic axis, ``batch`` for instance.
        values: Which values an input of integers takes; None: any, or not known.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    values: IntegerValues | None = None

    def at_batch(self, batch: int) -> tuple[int, ...]:
        """The shape with ``batch`` in place of each dynamic axis."""
        return tuple(axis if isinstance(axis, int) else batch for axis in self.shape)

    @property
    def fixed_batch(self) -> int | None:
        """The only batch that it takes; None if it takes any."""
        batch = self.shape[0]
        return batch if isinstance(batch, int) else None

    @property
    def classes(self) -> int | None:
        """How many classes each row of the batch has a score for; None: it is no such vector.

        It is one if a single axis beside the batch is longer than 1: (N, K) or (N, K, 1, 1).
        """
        axes = self.shape[1:]
        longer = [axis for axis in axes if axis != 1]
        return longer[0] if len(longer) == 1 and isinstance(longer[0], int) else None

    @property
    def described_shape(self) -> str:
        """The shape for people: ``[batch, 4, 62, 62]``."""
        return f"[{', '.join(str(axis) for axis in self.shape)}]"

    @property
    def described(self) -> str:
        """All of it for people: ``tokens: int64 [batch, 8], 0 to 99, the rows of its table``."""
        values = f", {self.values.described}" if self.values else ""
        return f"{self.name}: {self.dtype} {self.described_shape}{values}"

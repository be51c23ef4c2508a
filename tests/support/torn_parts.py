"""What torn graphs are written with, and what is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper


class Writer:
    """Nodes and constants, with what changed between opsets."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def const(self, values: ArrayLike, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.const(values, np.int64)

    def pad(self, x: str, widths: Sequence[int], value: float = 0.0) -> str:
        """``widths``: before each axis, then behind each."""
        if self.opset < 11:
            return self.op("Pad", x, mode="constant", pads=list(widths), value=value)
        return self.op("Pad", x, self.ints(*widths), self.const(value))

    def slice(self, x: str, axis: int, start: int, end: int) -> str:
        if self.opset < 10:
            return self.op("Slice", x, axes=[axis], starts=[start], ends=[end])
        return self.op("Slice", x, self.ints(start), self.ints(end), self.ints(axis))

    def axes(self, kind: str, x: str, *axes: int, **attributes: object) -> str:
        """Squeeze, Unsqueeze or ReduceSum."""
        if self.opset < 13:
            return self.op(kind, x, axes=list(axes), **attributes)
        return self.op(kind, x, self.ints(*axes), **attributes)

    def reshape(self, x: str, *shape: int) -> str:
        return self.op("Reshape", x, self.ints(*shape))

    def total(self, parts: Sequence[str]) -> str:
        made = parts[0]
        for part in parts[1:]:
            made = self.op("Add", made, part)
        return made


@dataclass(frozen=True)
class Torn:
    """What is written, and how.

    ``shape`` has no batch; the channels are its first axis, or the last with ``last``. The rest are
    faults: what a pad is filled with, the step between the channels of a window, and so on.
    """

    window: str = "slices"
    power: str = "pow div"
    shape: tuple[int, ...] = (6, 3, 2)
    left: int = 2
    right: int = 2
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    last: bool = False
    opset: int = 18
    square: str = "mul"
    pad_value: float = 0.0
    base: Callable[[Writer, str], str] | None = None
    divisor: Callable[[Writer, str], str] | None = None
    factor: Callable[[Writer], str] | None = None
    outputs: tuple[str, ...] = ()
    """Operators whose first result is an output of the graph too."""
    numerator: str = ""
    batch: str | int = "batch"
    edit: Callable[[NDArray[np.float32]], None] | None = field(default=None, repr=False)
    """Changes the band matrix of a convolution, an einsum or a product."""

    @property
    def size(self) -> int:
        return self.left + 1 + self.right

    @property
    def axis(self) -> int:
        return len(self.shape) if self.last else 1

    @property
    def channels(self) -> int:
        return self.shape[self.axis - 1]

    @property
    def band(self) -> NDArray[np.float32]:
        row, column = np.indices((self.channels, self.channels))
        band = (row - self.left <= column) & (column <= row + self.right)
        made = band.astype(np.float32)
        if self.edit is not None:
            self.edit(made)
        return made

    def widths(self, more_left: int = 0) -> list[int]:
        """Pads of the squares' channels."""
        before, after = [0] * (len(self.shape) + 1), [0] * (len(self.shape) + 1)
        before[self.axis], after[self.axis] = self.left + more_left, self.right
        return [*before, *after]

"""The nodes that one layer becomes: names, shapes and constants of an ONNX graph in the making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir import tape as ir_tape

from lrn_deploy.caffe.axes import Shape
from lrn_deploy.caffe.files.blobs import Array

BATCH = "batch"


class Ops:
    """Makes the nodes of one layer after another.

    Args:
        tape: Takes the nodes.
    """

    def __init__(self, tape: ir_tape.Tape) -> None:
        self._tape = tape
        self._layer = ""
        self._values: set[str] = set()
        self._nodes: set[str] = set()

    def begin(self, layer: str) -> None:
        """Name what follows after ``layer``."""
        self._layer = layer or "layer"

    def op(
        self,
        kind: str,
        inputs: Sequence[ir.Value],
        shape: Shape,
        attributes: dict[str, Any] | None = None,
        dtype: ir.DataType = ir.DataType.FLOAT,
    ) -> ir.Value:
        """One node with one output.

        Args:
            kind: The operator.
            inputs: Its inputs.
            shape: Shape of its output without the batch.
            attributes: Its attributes.
            dtype: Type of its output.
        """
        return self.ops(kind, inputs, [shape], attributes, [dtype])[0]

    def ops(
        self,
        kind: str,
        inputs: Sequence[ir.Value],
        shapes: Sequence[Shape],
        attributes: dict[str, Any] | None = None,
        dtypes: Sequence[ir.DataType] | None = None,
    ) -> list[ir.Value]:
        """One node with an output for each of ``shapes``."""
        values = self._tape.op_multi_out(
            kind,
            inputs,
            attributes or {},
            num_outputs=len(shapes),
            name=_new(self._layer, self._nodes),
        )
        types = dtypes or [ir.DataType.FLOAT] * len(shapes)
        for value, shape, dtype in zip(values, shapes, types, strict=True):
            value.name = _new(f"{self._layer}/{kind}", self._values)
            value.shape, value.dtype = ir.Shape([BATCH, *shape]), dtype
        return list(values)

    def weights(self, array: Array, role: str = "weight") -> ir.Value:
        """A constant tensor over ``array``, which is not copied."""
        name = _new(f"{self._layer}/{role}", self._values)
        return self._tape.initializer(ir.tensor(array, name=name))

    def number(self, value: float, role: str) -> ir.Value:
        """A constant of one fp32 number."""
        return self.weights(np.array(value, np.float32), role)

    def integers(self, values: Sequence[int], role: str) -> ir.Value:
        """A constant vector of int64."""
        return self.weights(np.array(values, np.int64), role)

    def reshape(self, x: ir.Value, shape: Shape) -> ir.Value:
        """``x`` in ``shape``, for any batch."""
        return self.op("Reshape", [x, self.integers([0, *shape], "shape")], shape)

    def reserve(self, names: Sequence[str]) -> None:
        """Keep ``names`` for values that are named by others."""
        self._values.update(names)


def _new(wanted: str, taken: set[str]) -> str:
    """A name that is not ``taken``, and now is."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name

"""LRN in standard operators: the nodes themselves, for :mod:`.lrn.legalize_lrn`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir import tape as ir_tape

from lrn_deploy.lrn import Convention, LrnSpec


def written_out(
    tape: ir_tape.Tape,
    x: ir.Value,
    shape: ir.Shape,
    spec: LrnSpec,
    name: str,
    convention: Convention,
) -> ir.Value:
    """LRN of x in standard operators, computed in fp32.

    Args:
        tape: What the nodes are added to.
        x: What enters it, of any floating type.
        shape: Its shape, with a fixed number of channels; of rank 4 for ``cross-map``.
        spec: The parameters.
        name: Name of the result's node, and the beginning of the names inside.
        convention: Which channels the size means.
    """
    if x.dtype not in (None, ir.DataType.FLOAT):
        wide = _cast(tape, x, ir.DataType.FLOAT, f"{name}_wide")
        result = written_out(tape, wide, shape, spec, f"{name}_fp32", convention)
        result.name = f"{name}_fp32"
        return tape.op("Cast", [result], {"to": x.dtype}, name=name)
    first, last = spec.offsets(convention)
    width = last - first + 1
    squares = _op(tape, "Mul", [x, x], f"{name}_squares")
    flat = reshape(tape, squares, [0, 1, shape[1], -1], f"{name}_flat")
    mean = tape.op(
        "AveragePool",
        [flat],
        {
            "kernel_shape": [width, 1],
            "pads": [-first, 0, last, 0],
            "count_include_pad": 1,
        },
        name=f"{name}_mean",
    )
    mean.name = f"{name}_mean"
    back = reshape_like(tape, mean, x, shape, f"{name}_back")
    alpha = _scalar(tape, spec.alpha * (width / spec.size), f"{name}_alpha")
    scaled = _op(tape, "Mul", [back, alpha], f"{name}_energy")
    if convention == "cross-map":
        kept = _channel_0(tape, squares, shape, spec, name)
        scaled = _op(tape, "Add", [scaled, kept], f"{name}_energy_with_channel_0")
    base = _op(tape, "Add", [scaled, _scalar(tape, spec.k, f"{name}_k")], f"{name}_base")
    power = _op(tape, "Pow", [base, _scalar(tape, spec.beta, f"{name}_beta")], f"{name}_power")
    return tape.op("Div", [x, power], name=name)


def _channel_0(
    tape: ir_tape.Tape, squares: ir.Value, shape: ir.Shape, spec: LrnSpec, name: str
) -> ir.Value:
    """What channel 0 adds to the channels whose contiguous window lies above it."""
    bounds = [
        tape.initializer(ir.tensor(np.array([at], np.int64), name=f"{name}_channel_0_{what}"))
        for what, at in (("start", 0), ("end", 1), ("axis", 1))
    ]
    first = _op(tape, "Slice", [squares, *bounds], f"{name}_channel_0")
    channels = shape[1]
    assert isinstance(channels, int)
    factors = np.zeros((channels, *(1 for _ in shape[2:])), np.float32)
    factors[1 - spec.offsets("cross-map")[0] :] = spec.alpha / spec.size
    weight = tape.initializer(ir.tensor(factors, name=f"{name}_channel_0_alpha"))
    return _op(tape, "Mul", [first, weight], f"{name}_channel_0_energy")


def _op(tape: ir_tape.Tape, op_type: str, inputs: Sequence[ir.Value], name: str) -> ir.Value:
    value = tape.op(op_type, inputs, name=name)
    value.name = name
    return value


def _cast(tape: ir_tape.Tape, x: ir.Value, to: ir.DataType, name: str) -> ir.Value:
    value = tape.op("Cast", [x], {"to": to}, name=name)
    value.name, value.dtype = name, to
    return value


def _scalar(tape: ir_tape.Tape, value: float, name: str) -> ir.Value:
    return tape.initializer(ir.tensor(np.array(value, np.float32), name=name))


def reshape(
    tape: ir_tape.Tape, x: ir.Value, shape: Sequence[int | ir.SymbolicDim], name: str
) -> ir.Value:
    """Reshape where 0 copies an axis of x and -1 takes what is left (ONNX Reshape-5)."""
    constant = tape.initializer(ir.tensor(np.array(shape, np.int64), name=f"{name}_shape"))
    return _op(tape, "Reshape", [x, constant], name)


def reshape_like(
    tape: ir_tape.Tape, x: ir.Value, like: ir.Value, shape: ir.Shape, name: str
) -> ir.Value:
    """Reshape to the shape of ``like``, by a constant if only its first axis is dynamic."""
    if all(isinstance(axis, int) for axis in shape[1:]):
        return reshape(tape, x, [0, *shape[1:]], name)
    return _op(tape, "Reshape", [x, _op(tape, "Shape", [like], f"{name}_shape")], name)

"""PyTorch's optimiser of ONNX graphs, which must not take ``1e-10`` for 0.

It drops ``x + c``, ``x - c``, ``x * c`` and ``x / c`` where c is *nearly* 0 or 1: within 1e-8, or
within a hundred-thousandth of 1. So ``x / (x.norm() + 1e-10)`` becomes a division by zero. While it
works, such constants are inputs of the graph, of whose values it knows nothing.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from torch.onnx import ONNXProgram

_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
_NEAR = 2e-5
"""Twice as far as the optimiser looks."""


def optimize(program: ONNXProgram) -> None:
    """Optimise an exported program in place, and keep every constant that is not exactly neutral.

    Args:
        program: As ``torch.onnx.export`` makes it with ``optimize=False``.
    """
    graph = program.model.graph
    hidden: list[tuple[ir.Value, ir.TensorProtocol | None]] = []
    for node in graph:
        neutral = None if node.domain else _NEUTRAL.get(node.op_type)
        for at, value in enumerate(node.inputs):
            if neutral is None or value is None or not _nearly(value, neutral):
                continue
            name = f"{value.name}_kept_for_{node.outputs[0].name}"
            stand_in = ir.Value(name=name, type=value.type, shape=value.shape)
            hidden.append((stand_in, ir.convenience.get_const_tensor(value)))
            node.replace_input_with(at, stand_in)
            graph.inputs.append(stand_in)
    program.optimize()
    for value, tensor in hidden:
        graph.inputs.remove(value)
        value.const_value = tensor
        graph.register_initializer(value)


def _nearly(value: ir.Value, neutral: float) -> bool:
    """Whether a value is one number close to the neutral one, but another."""
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size != 1 or not tensor.dtype.is_floating_point():
        return False
    number = float(np.asarray(tensor.numpy(), dtype=np.float64).reshape(()))
    return number != neutral and abs(number - neutral) <= _NEAR

"""What the precision passes need of a graph first: weights as initializers, and known types."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common as ir_passes

from lrn_deploy.errors import BadInputError


def prepare(model: ir.Model) -> None:
    """Make constants initializers, take initializers out of the inputs, infer missing types.

    Args:
        model: Changed in place; what it computes stays the same.

    Raises:
        BadInputError: If a value's type or rank cannot be inferred.
    """
    ir_passes.InlinePass()(model)
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ir_passes.RemoveInitializersFromInputsPass()(model)
    if any(_is_unknown(value) for node in model.graph for value in node.outputs):
        ir_passes.ShapeInferencePass()(model)
    for node in model.graph:
        for value in node.outputs:
            if _is_unknown(value):
                raise BadInputError(
                    f"The type of '{value.name}', which {node.op_type} '{node.name}' computes, "
                    "cannot be inferred, so the graph's precision cannot be changed."
                )


def _is_unknown(value: ir.Value) -> bool:
    return bool(value.name) and (value.dtype is None or value.shape is None)

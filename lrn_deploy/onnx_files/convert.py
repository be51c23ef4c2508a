"""A graph of any opset in one that every current runtime takes."""

from __future__ import annotations

import onnx
from onnx import version_converter

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.nodes import set_opset
from lrn_deploy.onnx_files.operators import every_node, misfit
from lrn_deploy.onnx_files.skeleton import (
    IR_VERSION,
    Weights,
    first_line,
    with_weights_as_inputs,
)

OLDEST, NEWEST = 18, 20
"""Graphs of these opsets stay as they are, as those that ``export`` writes."""

_CHANGED = frozenset({"DFT", "GroupNormalization"})
"""Operators that have the same signature in opset 20 and mean something else later."""


def convert(model: onnx.ModelProto, weights: Weights) -> onnx.ModelProto:
    """The model in opset 18, or in its own one of those that need no conversion.

    Its large weights stand as inputs.

    Args:
        model: Of an opset from 7 on, its nodes in order.
        weights: The initialisers that were taken out of it.

    Raises:
        BadInputError: If it cannot be converted.
    """
    whole = with_weights_as_inputs(model, weights)
    opset = whole.opset_import[0].version
    if opset > NEWEST:
        _lower(whole)
    if opset >= OLDEST:
        return whole
    try:
        converted = version_converter.convert_version(whole, OLDEST)
    except Exception as error:  # its assertions, lookups and inference share no class
        raise BadInputError(
            f"The graph cannot be converted from opset {opset} to {OLDEST}: {first_line(error)}",
            "Export the network again in a newer opset.",
        ) from error
    converted.ir_version = IR_VERSION
    return converted


def _lower(model: onnx.ModelProto) -> None:
    """Say an opset that older runtimes know, if the nodes mean the same there.

    What came after opset 20 are types, and operators and attributes that are not there before.
    """
    for node in every_node(model.graph.node):
        if node.op_type in _CHANGED or misfit(node, NEWEST):
            return
    set_opset(model, NEWEST)

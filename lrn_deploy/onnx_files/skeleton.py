"""A model whose large weights stand as inputs: what onnx's own tools, which copy all, are given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.reading import SMALL

IR_VERSION = 10
"""The newest that every current runtime reads."""

Weights = Mapping[str, NDArray[Any]]
Shapes = dict[str, tuple[int | None, ...]]


def with_weights_as_inputs(model: onnx.ModelProto, weights: Weights) -> onnx.ModelProto:
    """A copy of a model, with its large weights as inputs and the others as none."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = IR_VERSION  # before 4, what is no input is no initialiser
    listed = {entry.name for entry in copy.graph.input}
    copy.graph.input.extend(
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(values.dtype), values.shape
        )
        for name, values in weights.items()
        if name not in listed
    )
    return copy


def shapes(model: onnx.ModelProto, weights: Weights) -> Shapes:
    """The shapes of a model's values as far as they can be inferred; None for a dynamic axis.

    Raises:
        BadInputError: If shapes contradict each other.
    """
    whole = with_weights_as_inputs(model, weights)
    try:
        whole = onnx.shape_inference.infer_shapes(whole, strict_mode=True)
    except Exception as error:  # what onnx throws shares no class of its own
        raise wrong_shapes(error) from error
    found: Shapes = {}
    graph = whole.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            found[value.name] = tuple(
                axis.dim_value if axis.HasField("dim_value") else None for axis in kind.shape.dim
            )
    found.update({tensor.name: tuple(tensor.dims) for tensor in graph.initializer})
    return found


def infer(model: ir.Model) -> None:
    """Put the types and shapes that can be inferred into a graph's values, in place.

    Raises:
        BadInputError: If they contradict each other.
    """
    graph = model.graph
    large = [
        value
        for value in graph.initializers.values()
        if value.const_value is not None and value.const_value.nbytes > SMALL
    ]
    for value in large:
        del graph.initializers[str(value.name)]
    try:
        proto = ir.to_proto(model)
    finally:
        for value in large:
            graph.register_initializer(value)
    proto.graph.input.extend(
        helper.make_tensor_value_info(str(value.name), value.dtype.value, value.shape.numpy())
        for value in large
        if value.dtype is not None and value.shape is not None
    )
    try:
        inferred = onnx.shape_inference.infer_shapes(
            proto, check_type=True, strict_mode=True, data_prop=True
        )
    except Exception as error:  # what onnx throws shares no class of its own
        raise wrong_shapes(error) from error
    told = {info.name: info.type.tensor_type for info in inferred.graph.value_info}
    told.update({info.name: info.type.tensor_type for info in inferred.graph.output})
    for node in graph:
        for value in node.outputs:
            kind = told.get(str(value.name))
            if kind is None:
                continue
            if kind.elem_type:
                value.dtype = ir.DataType(kind.elem_type)
            if kind.HasField("shape"):
                value.shape = ir.Shape([_axis(axis) for axis in kind.shape.dim])


def _axis(axis: onnx.TensorShapeProto.Dimension) -> int | str | None:
    return axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None


def wrong_shapes(error: Exception) -> BadInputError:
    """The sentence about what onnx's shape inference found to be wrong."""
    return BadInputError(
        f"The shapes in the graph do not fit each other: {first_line(error)}",
        "The file may be cut off, or made for inputs of another size: export it again.",
    )


def first_line(error: Exception) -> str:
    """The telling line of an exception of onnx's, as a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if "Error" in line), lines[0] if lines else "no reason")
    text = re.sub(r"\[\w+Error\] |Inference error\(s\): |^Assertion `.*?` failed: ", "", text)
    return text[:300].rstrip(". ") + "."

"""What a graph really takes: its inputs without the weights, in types and sizes that are known."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.order import reads
from lrn_deploy.onnx_files.skeleton import Weights

TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}
"""What an input or output may be."""


def drop_weights_among_inputs(graph: onnx.GraphProto, weights: Weights) -> None:
    """Take initialisers out of a graph's inputs, where files before ir version 4 list them."""
    names = {*weights, *(tensor.name for tensor in graph.initializer)}
    kept = [entry for entry in graph.input if entry.name not in names]
    inputs = [onnx.ValueInfoProto.FromString(entry.SerializeToString()) for entry in kept]
    del graph.input[:]
    graph.input.extend(inputs)


def drop_unused_weights(graph: onnx.GraphProto, weights: Weights) -> tuple[dict[str, int], Weights]:
    """Drop the initialisers that no node reads.

    Args:
        graph: Changed in place.
        weights: Its large ones.

    Returns:
        The sizes of those that were dropped, by name, and the large ones that are left.
    """
    used = {name for node in graph.node for name in reads(node)}
    used.update(output.name for output in graph.output)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    dropped = {
        tensor.name: len(tensor.raw_data) for tensor in graph.initializer if tensor.name not in used
    }
    dropped.update({name: values.nbytes for name, values in weights.items() if name not in used})
    if dropped:
        tensors = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
        del graph.initializer[:]
        graph.initializer.extend(tensors)
    return dropped, {name: values for name, values in weights.items() if name in used}


def check_tensors(graph: onnx.GraphProto) -> None:
    """Refuse inputs and outputs that no bundle takes.

    Raises:
        BadInputError: If there are none, or one is no tensor, has no known rank, or a type of
            another kind than the network of a bundle has.
    """
    for what, values in (("input", graph.input), ("output", graph.output)):
        if not values:
            raise BadInputError(f"The graph has no {what}.", "Export the network again.")
        for value in values:
            _check(what, value)


def _check(what: str, value: onnx.ValueInfoProto) -> None:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value")
        if kind is None and what == "output":
            return  # its type is inferred
        raise BadInputError(
            f"The {what} '{value.name}' is no tensor ({str(kind).removesuffix('_type')}).",
            "Only networks of tensors are imported.",
        )
    tensor = value.type.tensor_type
    if tensor.elem_type not in TYPES and not (what == "output" and not tensor.elem_type):
        name = onnx.TensorProto.DataType.keys()[0]
        if tensor.elem_type in onnx.TensorProto.DataType.values():
            name = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise BadInputError(
            f"The {what} '{value.name}' is of the type {name}; networks are imported in float32.",
            "Export the network in float32; 'lrn-deploy optimize --precision fp16' makes it half.",
        )
    if what == "input" and not tensor.shape.dim:
        raise BadInputError(
            f"The input '{value.name}' has no axes that are known, not even one for the batch.",
            "Export the network again, with the shapes of its inputs.",
        )


def fix_sizes(inputs: Iterable[onnx.ValueInfoProto], shape: tuple[int, ...] | None) -> None:
    """Put the sizes that the user says into the first input, where it has none of its own.

    Raises:
        BadInputError: If sizes are still open, or the file says others.
    """
    for at, value in enumerate(inputs):
        axes = list(value.type.tensor_type.shape.dim)[1:]
        own = [axis.dim_value if axis.HasField("dim_value") else None for axis in axes]
        said = ", ".join(
            str(size or axis.dim_param or "?") for size, axis in zip(own, axes, strict=True)
        )
        if at == 0 and shape is not None:
            if len(shape) != len(own) or any(
                size not in (None, given) for size, given in zip(own, shape, strict=True)
            ):
                raise BadInputError(
                    f"The shape {list(shape)} does not fit the input '{value.name}' of "
                    f"shape [{said}] without the batch.",
                    "Leave out --shape, or export the network for inputs of that size.",
                )
            for axis, given in zip(axes, shape, strict=True):
                axis.dim_value = given
        elif None in own:
            raise BadInputError(
                f"The input '{value.name}' is of any size: [{said}] without the batch.",
                "Say one with --shape 3,224,224."
                if at == 0
                else "Export the network for inputs of one size.",
            )
        if any(size is not None and size < 1 for size in own):
            raise BadInputError(
                f"The input '{value.name}' has the impossible shape [{said}].",
                "Export the network again, for inputs of another size.",
            )

"""Inference requests and answers as the protocol's protobuf messages.

The message classes are tritonclient's. Tensors travel raw (``raw_input_contents``) or as typed
lists (``contents``); answers are always raw, as Triton's are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from lrn_deploy.datatypes import CONTENTS
from lrn_deploy.serving.datatypes import numpy_type
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.protocol.outputs import check_distinct, output_form, outputs_of, raw
from lrn_deploy.serving.protocol.parameters import whole
from lrn_deploy.serving.protocol.shared_memory import (
    OFF,
    SharedMemory,
    parameters_of,
    place_of,
)
from lrn_deploy.serving.repository.model import VERSION, ServedModel

Array = NDArray[Any]

_ELEMENTS = {
    "bool_contents": np.bool_,
    "uint_contents": np.uint32,
    "uint64_contents": np.uint64,
    "int_contents": np.int32,
    "int64_contents": np.int64,
    "fp32_contents": np.float32,
    "fp64_contents": np.float64,
}
"""What stands there; NumPy by itself would take 1 and 2**64 - 1 together for floats."""


def decode(request: Any, memory: SharedMemory = OFF) -> InferRequest:
    """Decode a ``ModelInferRequest``.

    Args:
        request: The message.
        memory: Where tensors may lie that are not in the message.

    Raises:
        InvalidRequestError: If it is not what the protocol says.
    """
    places = [place_of(_plain(tensor.parameters)) for tensor in request.inputs]
    sent = list(request.raw_input_contents)
    within = places.count(None)
    if sent and len(sent) != within:
        raise InvalidRequestError(
            f"There are {len(sent)} raw_input_contents for {within} inputs; send one "
            "for each, or none."
        )
    contents = iter(sent or [None] * within)
    arrays: dict[str, Array] = {}
    for tensor, place in zip(request.inputs, places, strict=True):
        if tensor.name in arrays:
            raise InvalidRequestError(f"Input '{tensor.name}' is there twice.")
        dtype, shape = _form(tensor)
        if place is not None:
            content = memory.read(place, math.prod(shape) * dtype.itemsize, tensor.name)
            arrays[tensor.name] = np.frombuffer(content, dtype).reshape(shape)
        else:
            arrays[tensor.name] = _array(tensor, next(contents), dtype, shape)
    outputs = tuple(
        output_form(output.name, _plain(output.parameters), binary=True)
        for output in request.outputs
    )
    check_distinct(outputs)
    memory.check([form.place for form in outputs])
    parameters = _plain(request.parameters)
    return InferRequest(
        arrays,
        outputs,
        binary=True,
        timeout_us=whole(parameters, "timeout"),
        priority=whole(parameters, "priority"),
        id=request.id,
    )


def encode(
    asked: InferRequest,
    model: ServedModel,
    outputs: Mapping[str, Array],
    memory: SharedMemory = OFF,
) -> Any:
    """The ``ModelInferResponse`` to ``asked``; puts into shared memory what belongs there.

    Raises:
        InvalidRequestError: If an output does not fit into its shared memory.
    """
    response = service_pb2.ModelInferResponse(
        model_name=model.name, model_version=VERSION, id=asked.id
    )
    for form, datatype, shape, elements in outputs_of(asked, model, outputs):
        response.outputs.add(name=form.name, datatype=datatype, shape=shape)
        content = raw(elements)
        if form.place is None:
            response.raw_output_contents.append(content)
            continue
        memory.write(form.place, content, form.name)
        response.raw_output_contents.append(b"")  # so that those of other outputs keep their place
        for key, value in parameters_of(form.place).items():
            kind = "string_param" if isinstance(value, str) else "int64_param"
            setattr(response.outputs[-1].parameters[key], kind, value)
    return response


def from_json(value: dict[str, Any], message: Any) -> Any:
    """Fill ``message`` from the JSON that REST has for it, as far as it has fields for that."""
    return json_format.ParseDict(value, message, ignore_unknown_fields=True)


def _form(tensor: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The dtype and shape that an input claims."""
    dtype = numpy_type(tensor.datatype, tensor.name)
    shape = tuple(tensor.shape)
    if any(axis < 0 for axis in shape):
        raise InvalidRequestError(
            f"The shape of input '{tensor.name}' has a negative axis: {list(shape)}."
        )
    return dtype, shape


def _array(tensor: Any, sent: bytes | None, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    count = math.prod(shape)
    if sent is not None:
        if tensor.HasField("contents"):
            raise InvalidRequestError(
                f"Input '{tensor.name}' has contents beside raw_input_contents; send one of them."
            )
        if len(sent) != count * dtype.itemsize:
            raise InvalidRequestError(
                f"Input '{tensor.name}' of shape {list(shape)} takes {count * dtype.itemsize} "
                f"bytes, got {len(sent)}."
            )
        return np.frombuffer(sent, dtype).reshape(shape)
    place = CONTENTS.get(tensor.datatype)
    if place is None:
        raise InvalidRequestError(
            f"{tensor.datatype} cannot be sent as contents; use raw_input_contents."
        )
    values: Array = np.array(getattr(tensor.contents, place), _ELEMENTS[place])
    if values.size != count:
        raise InvalidRequestError(
            f"Input '{tensor.name}' of shape {list(shape)} takes {count} elements in {place}, "
            f"got {values.size}."
        )
    narrow = values.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(narrow, values):
        raise InvalidRequestError(
            f"Input '{tensor.name}' has values that {tensor.datatype} cannot hold."
        )
    return narrow.reshape(shape)


def _plain(parameters: Any) -> dict[str, Any]:
    """Parameters as JSON would have them."""
    kinds = {key: value.WhichOneof("parameter_choice") for key, value in parameters.items()}
    return {key: getattr(parameters[key], kind) if kind else None for key, kind in kinds.items()}

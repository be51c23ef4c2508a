"""Inference requests and answers as the protocol's protobuf messages.

The message classes are tritonclient's. Tensors travel raw (``raw_input_contents``) or as typed
lists (``contents``); answers are always raw, as Triton's are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2

from lrn_deploy.serving import describe
from lrn_deploy.serving.datatypes import (
    classification,
    numpy_type,
    pack_strings,
    protocol_name,
)
from lrn_deploy.serving.describe import VERSION
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.model import InferCall, ServedModel
from lrn_deploy.serving.wire import MAX_CLASSES, InferMessage, OutputForm

Array = NDArray[Any]

_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""Where a typed tensor stands; FP16 has no such place and must be raw."""


def decode(request: Any) -> InferMessage:
    """Decode a ``ModelInferRequest``.

    Raises:
        InvalidRequestError: If it is not what the protocol says.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequestError(
            f"There are {len(raw)} raw_input_contents for {len(request.inputs)} inputs; send one "
            "for each, or none."
        )
    arrays: dict[str, Array] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise InvalidRequestError(f"Input '{tensor.name}' is there twice.")
        arrays[tensor.name] = _array(tensor, raw[index] if raw else None)
    outputs = tuple(_output(item) for item in request.outputs)
    if len({form.name for form in outputs}) < len(outputs):
        raise InvalidRequestError("An output is requested twice.")
    call = InferCall(
        arrays,
        tuple(form.name for form in outputs),
        timeout_us=_whole(request.parameters, "timeout"),
        priority=_whole(request.parameters, "priority"),
    )
    return InferMessage(call, outputs, binary=True, id=request.id)


def encode(message: InferMessage, model: ServedModel, outputs: Mapping[str, Array]) -> Any:
    """The ``ModelInferResponse`` to ``message``."""
    response = service_pb2.ModelInferResponse(
        model_name=model.name, model_version=VERSION, id=message.id
    )
    for form in message.outputs or tuple(OutputForm(spec.name) for spec in model.outputs):
        array = outputs[form.name]
        if form.classes:
            rows = classification(array, form.classes, model.labels)
            response.outputs.add(name=form.name, datatype="BYTES", shape=[len(rows), len(rows[0])])
            content = pack_strings([text.encode() for row in rows for text in row])
        else:
            response.outputs.add(
                name=form.name, datatype=protocol_name(array.dtype), shape=array.shape
            )
            content = array.tobytes()
        response.raw_output_contents.append(content)
    return response


def config(model: ServedModel) -> Any:
    """The ``ModelConfigResponse`` of a model."""
    parsed = model_config_pb2.ModelConfig()
    json_format.Parse(json.dumps(describe.config(model)), parsed)
    return service_pb2.ModelConfigResponse(config=parsed)


def from_json(value: dict[str, Any], message: Any) -> Any:
    """Fill ``message`` from the JSON that the REST form of the protocol has for it."""
    return json_format.ParseDict(value, message)


def _array(tensor: Any, raw: bytes | None) -> Array:
    dtype = numpy_type(tensor.datatype, tensor.name)
    shape = tuple(tensor.shape)
    if any(axis < 0 for axis in shape):
        raise InvalidRequestError(
            f"The shape of input '{tensor.name}' has a negative axis: {list(shape)}."
        )
    if "shared_memory_region" in tensor.parameters:
        raise InvalidRequestError("Shared memory is not supported by this server.")
    count = math.prod(shape)
    if raw is not None:
        if tensor.HasField("contents"):
            raise InvalidRequestError(
                f"Input '{tensor.name}' has contents beside raw_input_contents; send one of them."
            )
        if len(raw) != count * dtype.itemsize:
            raise InvalidRequestError(
                f"Input '{tensor.name}' of shape {list(shape)} takes {count * dtype.itemsize} "
                f"bytes, got {len(raw)}."
            )
        return np.frombuffer(raw, dtype).reshape(shape)
    place = _CONTENTS.get(tensor.datatype)
    if place is None:
        raise InvalidRequestError(
            f"{tensor.datatype} cannot be sent as contents; use raw_input_contents."
        )
    values = np.array(getattr(tensor.contents, place))
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


def _output(item: Any) -> OutputForm:
    if "shared_memory_region" in item.parameters:
        raise InvalidRequestError("Shared memory is not supported by this server.")
    classes = _whole(item.parameters, "classification")
    if classes > MAX_CLASSES:
        raise InvalidRequestError(
            f"classification may be {MAX_CLASSES:,} at most, got {classes:,}."
        )
    return OutputForm(item.name, binary=True, classes=classes)


def _whole(parameters: Any, key: str) -> int:
    if key not in parameters:
        return 0
    parameter = parameters[key]
    value = getattr(parameter, parameter.WhichOneof("parameter_choice") or "", None)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is not int or value < 0:
        raise InvalidRequestError(f"The parameter '{key}' must be a whole number, got {value!r}.")
    return value

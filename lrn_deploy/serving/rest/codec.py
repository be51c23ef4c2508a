"""Inference requests and answers as bytes: the protocol's REST form with its binary extension.

A body is a JSON object, followed by the raw tensors (little-endian, row-major) that it announces,
in its order; the header ``Inference-Header-Content-Length`` says where the JSON ends. A value of 0
makes a raw request: nothing but the bytes of the only input's tensor, as a batch of one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.serving.datatypes import protocol_name
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.http.message import BINARY, JSON, Response
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.protocol.outputs import outputs_of, raw
from lrn_deploy.serving.protocol.shared_memory import OFF, SharedMemory, parameters_of
from lrn_deploy.serving.repository.model import VERSION, ServedModel
from lrn_deploy.serving.rest import announcement
from lrn_deploy.serving.rest.announcement import Announced

Array = NDArray[Any]
HEADER_LENGTH = "inference-header-content-length"
_ENCODER = json.JSONEncoder(allow_nan=False)


def decode(
    body: bytes | bytearray,
    header_length: str | None,
    inputs: tuple[TensorSpec, ...],
    memory: SharedMemory = OFF,
) -> InferRequest:
    """Decode the body of an inference request.

    Args:
        body: Already decompressed.
        header_length: Value of ``Inference-Header-Content-Length``; None if it is missing.
        inputs: What the network takes, for raw requests.
        memory: Where tensors may lie that are not in the body.

    Raises:
        InvalidRequestError: If it is not what the protocol says.
    """
    length = len(body) if header_length is None else _length(header_length, len(body))
    if header_length is not None and length == 0:
        return InferRequest({inputs[0].name: _raw(body, inputs)}, binary=True)
    if length == len(body):
        announced = announcement.read(body)
    else:
        announced = announcement.read_or_remember(bytes(memoryview(body)[:length]))
    memory.check([form.place for form in announced.outputs])
    arrays: dict[str, Array] = {}
    content: bytes | bytearray
    position = length
    for tensor in announced.inputs:
        if tensor.data is not None:
            arrays[tensor.name] = _from_json(tensor, tensor.data)
            continue
        if tensor.place is not None:
            content, start = memory.read(tensor.place, tensor.nbytes, tensor.name), 0
        else:
            content, start = body, position
            position += tensor.nbytes
            if position > len(body):
                raise InvalidRequestError(
                    f"The body is too short: input '{tensor.name}' needs {tensor.nbytes} bytes, "
                    f"{len(body) - start} are left."
                )
        flat = np.frombuffer(content, tensor.dtype, tensor.count, start)
        arrays[tensor.name] = flat.reshape(tensor.shape)
    if position != len(body):
        raise InvalidRequestError(
            f"{len(body) - position} bytes follow the tensors that the JSON announces; check "
            "binary_data_size and Inference-Header-Content-Length."
        )
    return InferRequest(
        arrays,
        announced.outputs,
        announced.binary,
        announced.timeout_us,
        announced.priority,
        announced.id,
    )


def encode(
    asked: InferRequest,
    model: ServedModel,
    outputs: Mapping[str, Array],
    memory: SharedMemory = OFF,
) -> Response:
    """Encode the answer to ``asked``, and put into shared memory what belongs there.

    Raises:
        InvalidRequestError: If an output does not fit into its shared memory, or is to be JSON and
            has NaN or infinity: with binary outputs the same request is answered.
    """
    described: list[dict[str, Any]] = []
    tails: list[bytes] = []
    for form, datatype, shape, elements in outputs_of(asked, model, outputs):
        entry: dict[str, Any] = {"name": form.name, "datatype": datatype, "shape": shape}
        described.append(entry)
        if form.place is not None:
            memory.write(form.place, raw(elements), form.name)
            entry["parameters"] = parameters_of(form.place)
        elif form.binary:
            tail = raw(elements)
            entry["parameters"] = {"binary_data_size": len(tail)}
            tails.append(tail)
        else:
            listed = elements if isinstance(elements, list) else elements.ravel().tolist()
            entry["data"] = listed
    content: dict[str, Any] = {"id": asked.id} if asked.id else {}
    content |= {"model_name": model.name, "model_version": VERSION, "outputs": described}
    try:
        head = _ENCODER.encode(content).encode()
    except ValueError as error:
        raise InvalidRequestError(
            "The answer has NaN or infinity, which JSON does not know; ask for binary outputs."
        ) from error
    if not tails:
        return Response(200, (("content-type", JSON),), head)
    return Response(
        200,
        (("content-type", BINARY), (HEADER_LENGTH, str(len(head)))),
        b"".join([head, *tails]),
    )


def _from_json(tensor: Announced, data: list[Any]) -> Array:
    """The array of ``data``, nested or flat."""
    name, dtype, shape, count = tensor.name, tensor.dtype, tensor.shape, tensor.count
    if not _numbers_only(data):
        raise InvalidRequestError(
            f"Input '{name}' takes {protocol_name(dtype)}; its data has other values."
        )
    try:
        values = _values(data, dtype)
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(f"The data of input '{name}' is ragged or too deep.") from error
    if values.size != count:
        raise InvalidRequestError(
            f"Input '{name}' of shape {list(shape)} takes {count} elements, got {values.size}."
        )
    wanted = {"b": "b", "f": "fiu", "i": "iu", "u": "iu"}[dtype.kind]
    if count and values.dtype.kind not in wanted:
        raise InvalidRequestError(
            f"Input '{name}' takes {protocol_name(dtype)}; its data has other values."
        )
    if dtype.kind in "iu" and count:
        limits = np.iinfo(dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise InvalidRequestError(
                f"The data of input '{name}' goes from {values.min()} to {values.max()}, which "
                f"{protocol_name(dtype)} cannot hold."
            )
    with np.errstate(over="ignore"):  # what becomes infinite is refused with the other infinities
        return values.astype(dtype).reshape(shape)


def _values(data: list[Any], dtype: np.dtype[Any]) -> Array:
    """Nested lists as an array; NumPy by itself takes 1 and 2**64 - 1 together for floats."""
    values = np.array(data)
    if dtype.kind == "u" and values.dtype.kind == "f" and values.size:
        exact = np.array(data, object)
        whole = all(type(value) is int for value in exact.flat)
        if whole and exact.min() >= 0 and exact.max() < 2**64:
            return exact.astype(np.uint64)
    return values


def _numbers_only(data: list[Any]) -> bool:
    """Whether there is nothing but numbers and booleans in nested lists.

    numpy would give every string the length of the longest, so a small body could take any memory.
    """
    kinds = set(map(type, data))
    if list not in kinds:
        return kinds <= {int, float, bool}
    return kinds == {list} and all(map(_numbers_only, data))


def _raw(body: bytes | bytearray, inputs: tuple[TensorSpec, ...]) -> Array:
    """The tensor of a raw request: one input, a batch of one, at most one further free axis."""
    spec = inputs[0]
    shape = [
        1 if index == 0 and isinstance(axis, str) else axis for index, axis in enumerate(spec.shape)
    ]
    free = [index for index, axis in enumerate(shape) if isinstance(axis, str)]
    if len(inputs) != 1 or len(free) > 1:
        raise InvalidRequestError(
            "A raw request needs a network with one input and at most one axis of free length "
            "besides the batch; send JSON with binary tensors."
        )
    dtype = np.dtype(spec.dtype)
    size = dtype.itemsize * math.prod(axis for axis in shape if isinstance(axis, int))
    if (not free and len(body) != size) or len(body) % size or not body:
        raise InvalidRequestError(
            f"A raw request must have {size} bytes{' or a multiple' * bool(free)} for input "
            f"'{spec.name}', got {len(body)}."
        )
    return np.frombuffer(body, dtype).reshape(
        [len(body) // size if isinstance(axis, str) else axis for axis in shape]
    )


def _length(text: str, body: int) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > body:
        raise InvalidRequestError(
            f"Inference-Header-Content-Length must be from 0 to the body's {body} bytes, "
            f"got '{text[:40]}'."
        )
    return int(text)

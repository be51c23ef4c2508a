"""What the JSON of an inference request announces, apart from the bytes that may follow it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrn_deploy.serving.datatypes import numpy_type
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import OutputForm, Place
from lrn_deploy.serving.protocol.json_text import parse_json
from lrn_deploy.serving.protocol.outputs import check_distinct, output_form
from lrn_deploy.serving.protocol.parameters import field, flag, whole
from lrn_deploy.serving.protocol.shared_memory import place_of
from lrn_deploy.serving.remember import remembering

_MAX_ELEMENTS = 2**40


@dataclass(frozen=True)
class Announced:
    """An input.

    Attributes:
        name: Its name.
        dtype: Of its elements.
        shape: Its shape.
        count: Elements.
        data: Its elements, in whatever lists; None if they are elsewhere.
        place: Where in shared memory it lies; None if it does not. With neither, its bytes follow
            the JSON.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    count: int
    data: list[Any] | None = None
    place: Place | None = None

    @property
    def nbytes(self) -> int:
        """Its size."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class Announcement:
    """A request without its tensors.

    Attributes:
        inputs: What it sends, each name once.
        outputs: What it wants; empty for all, as ``binary`` says.
        binary: The form of outputs that ``outputs`` does not list.
        timeout_us: Its ``timeout``; 0: none.
        priority: Its ``priority``; 0: the default.
        id: The caller's own id of it.
    """

    inputs: tuple[Announced, ...]
    outputs: tuple[OutputForm, ...]
    binary: bool
    timeout_us: int
    priority: int
    id: str


def read(text: bytes | bytearray) -> Announcement:
    """Read the JSON of a request.

    Raises:
        InvalidRequestError: If it is not what the protocol says.
        TooLargeError: If it has too many arrays and objects.
    """
    content = parse_json(text)
    tensors = field(content, "inputs", list, None)
    if not tensors:
        raise InvalidRequestError("The request has no 'inputs', a list of tensors.")
    inputs = tuple(_input(tensor) for tensor in tensors)
    if len({tensor.name for tensor in inputs}) < len(inputs):
        ((twin, _),) = Counter(tensor.name for tensor in inputs).most_common(1)
        raise InvalidRequestError(f"Input '{twin}' is there twice.")
    parameters = field(content, "parameters", dict, {})
    binary = flag(parameters, "binary_data_output")
    outputs = tuple(_output(output, binary) for output in field(content, "outputs", list, []))
    check_distinct(outputs)
    return Announcement(
        inputs,
        outputs,
        binary,
        whole(parameters, "timeout"),
        whole(parameters, "priority"),
        str(content.get("id", "")),
    )


read_or_remember = remembering(read)
"""For texts that stand before tensors, which say the same each time."""


def _input(tensor: Any) -> Announced:
    if not isinstance(tensor, dict):
        raise InvalidRequestError("Each of 'inputs' must be a JSON object.")
    name = field(tensor, "name", str, None)
    dtype = numpy_type(field(tensor, "datatype", str, None), name)
    shape = _shape(field(tensor, "shape", list, None), name)
    count = math.prod(shape)
    if count > _MAX_ELEMENTS:
        raise InvalidRequestError(f"Input '{name}' claims {count:,} elements.")
    parameters = field(tensor, "parameters", dict, {})
    size = parameters.get("binary_data_size")
    place = place_of(parameters)
    if place is not None:
        if size is not None or "data" in tensor:
            raise InvalidRequestError(f"Input '{name}' is in shared memory and in the body.")
        return Announced(name, dtype, shape, count, place=place)
    if size is None:
        return Announced(name, dtype, shape, count, data=field(tensor, "data", list, None))
    if "data" in tensor:
        raise InvalidRequestError(f"Input '{name}' has both 'data' and binary_data_size.")
    if size != count * dtype.itemsize or isinstance(size, bool):
        raise InvalidRequestError(
            f"Input '{name}' of shape {list(shape)} takes {count * dtype.itemsize} bytes, "
            f"binary_data_size is {size}."
        )
    return Announced(name, dtype, shape, count)


def _shape(values: list[Any], name: str) -> tuple[int, ...]:
    if not all(type(value) is int and value >= 0 for value in values):
        raise InvalidRequestError(
            f"The shape of input '{name}' must be a list of whole numbers from 0, got {values}."
        )
    return tuple(values)


def _output(item: Any, binary: bool) -> OutputForm:
    if not isinstance(item, dict):
        raise InvalidRequestError("Each of 'outputs' must be a JSON object.")
    parameters = field(item, "parameters", dict, {})
    return output_form(field(item, "name", str, None), parameters, binary=binary)

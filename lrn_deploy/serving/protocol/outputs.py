"""The outputs that a caller asks for, and the elements of those that it gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.serving.datatypes import protocol_name
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.inference import InferRequest, OutputForm
from lrn_deploy.serving.protocol.model import Model
from lrn_deploy.serving.protocol.parameters import flag, whole
from lrn_deploy.serving.protocol.shared_memory import place_of

Array = NDArray[Any]
Elements = Array | list[str]
"""Of an output: its numbers, or the classes that they stand for."""

MAX_CLASSES = 1_000_000


def output_form(name: str, parameters: dict[str, Any], *, binary: bool) -> OutputForm:
    """The form that an output's parameters ask for.

    Args:
        name: The output.
        parameters: Its own parameters.
        binary: The form if they do not say.

    Raises:
        InvalidRequestError: If they are malformed.
    """
    classes = whole(parameters, "classification")
    if classes > MAX_CLASSES:
        raise InvalidRequestError(
            f"classification may be {MAX_CLASSES:,} at most, got {classes:,}."
        )
    if "binary_data" in parameters:
        binary = flag(parameters, "binary_data")
    return OutputForm(name, binary, classes, place_of(parameters))


def check_distinct(outputs: tuple[OutputForm, ...]) -> None:
    """Refuse an output that is requested twice.

    Raises:
        InvalidRequestError: If one is.
    """
    if len({form.name for form in outputs}) < len(outputs):
        raise InvalidRequestError("An output is requested twice.")


def outputs_of(
    asked: InferRequest, model: Model, arrays: Mapping[str, Array]
) -> Iterator[tuple[OutputForm, str, list[int], Elements]]:
    """Each output that was asked for: its form, datatype, shape and elements.

    Args:
        asked: What was asked for.
        model: What has run.
        arrays: All that it gave.
    """
    forms: Iterable[OutputForm] = asked.outputs or [
        OutputForm(spec.name, asked.binary) for spec in model.outputs
    ]
    for form in forms:
        array = arrays[form.name]
        if form.classes:
            rows = classification(array, form.classes, model.labels)
            shape = [len(rows), len(rows[0])]
            yield form, "BYTES", shape, [text for row in rows for text in row]
        else:
            yield form, protocol_name(array.dtype), list(array.shape), array


def raw(elements: Elements) -> bytes:
    """The elements as bytes, little-endian and row-major."""
    if isinstance(elements, list):
        return pack_strings([text.encode() for text in elements])
    return elements.tobytes()


def pack_strings(values: list[bytes]) -> bytes:
    """The protocol's BYTES: each element as its length (uint32, little-endian) and itself."""
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


def classification(scores: Array, count: int, labels: tuple[str, ...] | None) -> list[list[str]]:
    """The classification extension: the ``count`` highest scores of each row, highest first.

    Args:
        scores: Of shape (N, ...); each row is flattened.
        count: How many at most; a row has no more than it has elements.
        labels: Class names, or None.

    Returns:
        ``N`` lists of ``"score:index"`` or ``"score:index:label"``, scores with six decimals.
        Equal scores keep the order of their indices.
    """
    rows = scores.reshape(len(scores), -1)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    return [
        [
            f"{row[index]:f}:{index}"
            + (f":{labels[index]}" if labels and index < len(labels) else "")
            for index in indices
        ]
        for row, indices in zip(rows, order, strict=True)
    ]

"""Element types of the Open Inference Protocol and what they are in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.serving.errors import InvalidRequestError

Array = NDArray[Any]

NUMPY = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Protocol name -> numpy dtype, little-endian as the protocol has it."""

NAMES = {dtype: name for name, dtype in NUMPY.items()}


def protocol_name(dtype: str | np.dtype[Any]) -> str:
    """The protocol's name of a numpy dtype: ``FP32`` for ``float32``."""
    return NAMES[np.dtype(dtype)]


def config_name(dtype: str) -> str:
    """The name in Triton's model configuration: ``TYPE_FP32`` for ``float32``."""
    return f"TYPE_{protocol_name(dtype)}"


def numpy_type(name: str, tensor: str) -> np.dtype[Any]:
    """The numpy dtype of a protocol name.

    Raises:
        InvalidRequestError: If no network here could take it.
    """
    dtype = NUMPY.get(name)
    if dtype is None:
        raise InvalidRequestError(
            f"Input '{tensor}' has datatype '{name}'; supported are {', '.join(NUMPY)}."
        )
    return dtype


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

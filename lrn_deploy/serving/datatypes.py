"""Element types of the Open Inference Protocol and what they are in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import TensorSpec
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


def wire_shape(spec: TensorSpec) -> list[int]:
    """A shape as the protocol has it: -1 for a dynamic axis."""
    return [axis if isinstance(axis, int) else -1 for axis in spec.shape]

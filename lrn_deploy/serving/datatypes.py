"""What the server says of element types, and its refusal of those that no network here takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.datatypes import NAMES, NUMPY
from lrn_deploy.serving.errors import InvalidRequestError

Array = NDArray[Any]


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

"""What stands in for the module that Triton's Python backend hands to its models."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

import numpy as np

NAME = "triton_python_backend_utils"


@dataclass
class Tensor:
    name: str
    values: Any

    def as_numpy(self) -> Any:
        return self.values


@dataclass
class Request:
    inputs: dict[str, Any]
    wanted: list[str]

    def requested_output_names(self) -> list[str]:
        return self.wanted


@dataclass
class Response:
    tensors: list[Tensor] = field(default_factory=list)
    error: Exception | None = None

    @property
    def values(self) -> dict[str, Any]:
        return {tensor.name: tensor.values for tensor in self.tensors}


class TritonError(Exception):
    pass


class Refused(Exception):  # noqa: N818 - Triton calls it TritonModelException
    pass


def stand_in() -> types.ModuleType:
    """The module, as far as our models use it."""
    module: Any = types.ModuleType(NAME)
    module.get_input_tensor_by_name = lambda request, name: Tensor(name, request.inputs[name])
    module.InferenceResponse = Response
    module.Tensor = Tensor
    module.TritonError = TritonError
    module.TritonModelException = Refused
    kinds = {"TYPE_FP32": np.float32, "TYPE_FP16": np.float16, "TYPE_UINT8": np.uint8}
    module.triton_string_to_numpy = kinds.__getitem__
    return module

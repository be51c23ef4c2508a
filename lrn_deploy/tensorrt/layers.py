"""What the parsed network asks of each layer, and what an engine makes of it.

*Requested* is read from the network after parsing, before any GPU is needed, and stored in
``engines/*.network.json``. *Realised* is read from the engine inspector, which needs a GPU, and
stored in ``engines/*.layers.json``. TensorRT fuses layers, so values between them vanish; the
values that an engine still writes carry the types it really computed with, and those are compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lrn_deploy.errors import DamagedError


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class LayerValue(_Record):
    """A value of a network: its name, type (``fp32``) and shape (-1 where dynamic)."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()


class NetworkLayer(_Record):
    """One layer: its name, TensorRT's name of its type, its inputs and outputs."""

    name: str
    type: str
    inputs: tuple[LayerValue, ...]
    outputs: tuple[LayerValue, ...]


class NetworkRecord(_Record):
    """The layers of one engine, as requested or as realised.

    ``inspector`` is the engine inspector's answer as it was, of realised layers: what is read of
    it differs between versions of TensorRT.
    """

    kind: Literal["requested", "realised"]
    engine: str
    layers: tuple[NetworkLayer, ...]
    inspector: str | None = None


@dataclass(frozen=True)
class TypeDifference:
    """A value whose type in the engine is not the one that the graph asks for."""

    value: str
    requested: str
    realised: str


@dataclass(frozen=True)
class Comparison:
    """Requested against realised.

    Attributes:
        compared: Number of values that both have, and whose type the engine tells.
        fused: Number of requested values that the engine no longer writes.
        untold: Number of values that both have, and whose type the engine does not tell.
        differences: Values with another type.
    """

    compared: int
    fused: int
    untold: int
    differences: tuple[TypeDifference, ...]


_DTYPES = {
    "FLOAT": "fp32",
    "HALF": "fp16",
    "BF16": "bf16",
    "BFLOAT16": "bf16",
    "INT8": "int8",
    "INT4": "int4",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
    "FP8": "fp8",
    "FP16": "fp16",
    "FP32": "fp32",
}
"""TensorRT's names of types, in its API and in the inspector, to ours."""

_KNOWN = frozenset(_DTYPES.values())
_TYPE_KEYS = ("Datatype", "DataType", "Format/Datatype", "Format")
"""Where the inspector tells a value's type, by TensorRT's version."""


def read_layers(network: Any) -> tuple[NetworkLayer, ...]:
    """The layers of a TensorRT network definition, in its order."""
    layers = (network.get_layer(index) for index in range(network.num_layers))
    return tuple(
        NetworkLayer(
            name=layer.name,
            type=layer.type.name,
            inputs=_values(layer.get_input(index) for index in range(layer.num_inputs)),
            outputs=_values(layer.get_output(index) for index in range(layer.num_outputs)),
        )
        for layer in layers
    )


def read_inspector(text: str) -> tuple[NetworkLayer, ...]:
    """The layers of an engine from ``EngineInspector.get_engine_information(JSON)``.

    Raises:
        DamagedError: If the text is not what an engine built with detailed verbosity gives.
    """
    try:
        return tuple(
            NetworkLayer(
                name=layer["Name"],
                type=layer["LayerType"],
                inputs=tuple(_inspected(value) for value in layer["Inputs"]),
                outputs=tuple(_inspected(value) for value in layer["Outputs"]),
            )
            for layer in json.loads(text)["Layers"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            "The engine inspector's answer has no details of the layers.",
            "Build the engine with 'lrn-deploy build-engine', which asks for them.",
        ) from error


def compare(requested: Sequence[NetworkLayer], realised: Sequence[NetworkLayer]) -> Comparison:
    """Whether the values that an engine writes have the types that its graph asks for.

    Of an engine with a dynamic batch, TensorRT may tell no types at all.
    """
    wanted = {value.name: value.dtype for layer in requested for value in layer.outputs}
    found = {value.name: value.dtype for layer in realised for value in layer.outputs}
    shared = [name for name in wanted if name in found]
    told = [name for name in shared if found[name] in _KNOWN]
    return Comparison(
        compared=len(told),
        fused=len(wanted) - len(shared),
        untold=len(shared) - len(told),
        differences=tuple(
            TypeDifference(value=name, requested=wanted[name], realised=found[name])
            for name in told
            if wanted[name] != found[name]
        ),
    )


def _values(tensors: Iterable[Any]) -> tuple[LayerValue, ...]:
    return tuple(
        LayerValue(name=tensor.name, dtype=_dtype(tensor.dtype.name), shape=tuple(tensor.shape))
        for tensor in tensors
        if tensor is not None  # an optional input
    )


def _inspected(value: dict[str, Any]) -> LayerValue:
    return LayerValue(
        name=value["Name"],
        dtype=_dtype(" ".join(str(value[key]) for key in _TYPE_KEYS if key in value)),
        shape=tuple(value.get("Dimensions", ())),
    )


def _dtype(name: str) -> str:
    """Our name of a type; ``name`` itself if it tells none.

    The inspector may hide it among others: ``Row major linear FP16 format``, ``Half(64,1:8)``.
    """
    words = re.findall(r"[A-Z][A-Z0-9]*", name.upper())
    return next((_DTYPES[word] for word in words if word in _DTYPES), name)

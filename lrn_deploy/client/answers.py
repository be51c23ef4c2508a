"""What a server tells of itself, of its models and of images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerMetadata:
    """A server.

    Attributes:
        name: What it calls itself.
        version: Its version; empty if it does not say.
        extensions: Parts of the protocol that it has beyond the core, ``binary_tensor_data``.
    """

    name: str
    version: str = ""
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorMetadata:
    """An input or an output of a model.

    Attributes:
        name: Its name.
        datatype: The protocol's name of its elements' type, ``FP32``.
        shape: Its shape, the batch included; -1 for an axis of any length.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """A model.

    Attributes:
        name: Its name.
        versions: Its versions.
        platform: What it is for, ``onnxruntime_onnx``.
        inputs: What it takes.
        outputs: What it gives.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True)
class ModelState:
    """A model that a server knows, loaded or not.

    Attributes:
        name: Its name.
        version: Its version; empty if it has none.
        state: ``READY``, ``UNAVAILABLE`` and so on; empty if the server does not say.
        reason: Why it is in that state.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Label:
    """A class that an image may be of.

    Attributes:
        index: Its number.
        label: Its name; None if the model has none.
        probability: From 0 to 1.
    """

    index: int
    label: str | None
    probability: float


@dataclass(frozen=True)
class Classified:
    """What an image shows.

    Attributes:
        image: What the image is called.
        labels: The likeliest classes, the likeliest first; none if the image could not be read.
        error: Why it could not be read; empty if it could.
    """

    image: str
    labels: tuple[Label, ...]
    error: str = ""

"""An ONNX file as it lies there: its message, its weights, and the digests that say which it is."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from onnx import numpy_helper

from lrn_deploy.errors import BadInputError
from lrn_deploy.onnx_files.external import LIMIT, ExternalFiles

SMALL = 4096
"""Initialisers of up to so many bytes (shapes, scalars) stay in the message."""

Array = NDArray[Any]


@dataclass(frozen=True)
class OnnxFile:
    """What a file holds.

    Attributes:
        path: The file.
        model: Its message without the values of large weights; free to be changed.
        weights: The large initialisers, by name; only to be read.
        sha256: Digest of the file.
        weights_sha256: The same, or with weights beside the file the digest of all digests.
        types: The floating-point types of the file, if its numbers were brought to float32.
    """

    path: Path
    model: onnx.ModelProto
    weights: dict[str, Array] = field(repr=False)
    sha256: str
    weights_sha256: str
    types: str = ""

    @property
    def parameters(self) -> int:
        """How many numbers its initialisers hold."""
        small = sum(int(np.prod(tensor.dims)) for tensor in self.model.graph.initializer)
        return small + sum(values.size for values in self.weights.values())

    def whole(self) -> onnx.ModelProto:
        """The message with all weights in it."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        model.graph.initializer.extend(
            numpy_helper.from_array(values, name) for name, values in self.weights.items()
        )
        return model


def read_file(path: Path) -> OnnxFile:
    """Read an ONNX file and the weights beside it; nothing outside its folder is read.

    Raises:
        BadInputError: If it cannot be read, is no ONNX model or a part of one, is larger than
            2 GiB, or its weights are not where and what it says.
    """
    data = _bytes(path)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise BadInputError(
            f"'{path}' is no ONNX model, or only a part of one.", "Fetch or export it again."
        ) from error
    if not model.ir_version or not model.graph.node:
        raise BadInputError(
            f"'{path}' holds no ONNX graph.", "Check that it is the file that you mean."
        )
    if not _is_text(model):
        raise BadInputError(
            f"'{path}' is damaged: a name in it is no text.", "Fetch or export it again."
        )
    digest = hashlib.sha256(data).hexdigest()
    del data
    files = ExternalFiles(path.parent)
    weights = _take_weights(model, files)
    beside = files.digests()
    every = hashlib.sha256("\n".join([digest, *beside]).encode()).hexdigest() if beside else digest
    return OnnxFile(path, model, weights, digest, every)


def _is_text(message: Message) -> bool:
    """Whether every string in a message is UTF-8; protobuf gives others as bytes."""
    if isinstance(message, onnx.TensorProto):  # not its values, of which a copy would be made
        named = isinstance(message.name, str) and isinstance(message.doc_string, str)
        return named and all(map(_is_text, message.external_data))
    for about, value in message.ListFields():
        if about.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE):
            continue
        for part in (value,) if isinstance(value, str | bytes | Message) else value:
            if isinstance(part, bytes) or (isinstance(part, Message) and not _is_text(part)):
                return False
    return True


def _bytes(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK a pipe of that name would be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise BadInputError(f"'{path}' is no file.", "Check the path.")
            if about.st_size > LIMIT:
                raise BadInputError(
                    f"'{path}' is larger than 2 GiB, more than an ONNX file can hold.",
                    "Check that it is the file that you mean.",
                )
            return file.read()
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise BadInputError(f"'{path}' cannot be read: {reason}.", "Check the path.") from error


def _take_weights(model: onnx.ModelProto, files: ExternalFiles) -> dict[str, Array]:
    """Take the large initialisers, and those beside the file, out of the graph.

    Raises:
        BadInputError: If one is not what it says.
    """
    graph = model.graph
    _load_attributes(model, files)
    if graph.sparse_initializer:
        raise BadInputError(
            f"The weight '{graph.sparse_initializer[0].values.name}' is stored as a sparse tensor.",
            "Export the network with plain weights.",
        )
    weights: dict[str, Array] = {}
    small = []
    for tensor in graph.initializer:
        values = _values(tensor, files)
        if tensor.name in weights:
            raise BadInputError(
                f"The weight '{tensor.name}' is there twice.", "Export the network again."
            )
        if values.nbytes > SMALL:
            weights[tensor.name] = values
        else:
            small.append(numpy_helper.from_array(values, tensor.name))
    del graph.initializer[:]
    graph.initializer.extend(small)
    return weights


def _values(tensor: onnx.TensorProto, files: ExternalFiles) -> Array:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return files.read(tensor)
    if tensor.data_type == onnx.TensorProto.STRING or tensor.HasField("segment"):
        raise BadInputError(
            f"The weight '{tensor.name}' holds no numbers.",
            "Export the network with plain weights.",
        )
    try:
        if min(tensor.dims, default=0) < 0:
            raise ValueError(tensor.dims)
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise BadInputError(
            f"The weight '{tensor.name}' does not hold what its shape {list(tensor.dims)} and type "
            "say.",
            "The file may be cut off: fetch or export it again.",
        ) from error


def _load_attributes(model: onnx.ModelProto, files: ExternalFiles) -> None:
    """Put tensors of nodes' attributes that lie beside the file into it."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            nodes.extend(graph.node)
            if graph is not model.graph:
                for tensor in graph.initializer:
                    _load(tensor, files)
            continue
        for attribute in nodes.pop().attribute:
            graphs.extend([*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs])
            held = [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
            for tensor in held:
                _load(tensor, files)


def _load(tensor: onnx.TensorProto, files: ExternalFiles) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        tensor.CopyFrom(numpy_helper.from_array(files.read(tensor), tensor.name))

"""Operations as the protocol's messages, and their answers. The message classes are tritonclient's.

Tensors travel raw in both directions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as pb

from lrn_deploy.client.answers import ModelMetadata, ModelState, ServerMetadata, TensorMetadata
from lrn_deploy.client.errors import (
    ClientError,
    LostError,
    ProtocolError,
    UnreachableError,
    UnsupportedError,
    refusal,
)
from lrn_deploy.client.operations import (
    AboutModel,
    AboutServer,
    Classify,
    Config,
    Control,
    Index,
    Infer,
    Live,
    Operation,
    Ready,
    Stats,
)
from lrn_deploy.client.tensors import Array, from_bytes, from_json
from lrn_deploy.datatypes import CONTENTS

SERVICE = "inference.GRPCInferenceService"
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}
_CONTENTS = CONTENTS | {"BYTES": "bytes_contents"}
"""Where a tensor stands that a server did not send raw."""
_TEXTS = ("name", "version", "string_value", "reason")
"""Members that may be digits and are no numbers."""


def encode(operation: Operation[Any]) -> tuple[str, Any]:
    """The method for an operation and its message.

    Raises:
        UnsupportedError: If the protocol over gRPC has none.
    """
    match operation:
        case Live():
            return "ServerLive", pb.ServerLiveRequest()
        case Ready(model=""):
            return "ServerReady", pb.ServerReadyRequest()
        case Ready():
            return "ModelReady", pb.ModelReadyRequest(
                name=operation.model, version=operation.version
            )
        case AboutServer():
            return "ServerMetadata", pb.ServerMetadataRequest()
        case AboutModel():
            return "ModelMetadata", pb.ModelMetadataRequest(
                name=operation.model, version=operation.version
            )
        case Config():
            return "ModelConfig", pb.ModelConfigRequest(
                name=operation.model, version=operation.version
            )
        case Stats():
            return "ModelStatistics", pb.ModelStatisticsRequest(
                name=operation.model, version=operation.version
            )
        case Index():
            return "RepositoryIndex", pb.RepositoryIndexRequest()
        case Control(load=True):
            return "RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=operation.model)
        case Control():
            return "RepositoryModelUnload", pb.RepositoryModelUnloadRequest(
                model_name=operation.model
            )
        case Infer():
            return "ModelInfer", _infer(operation)
        case Classify():
            raise UnsupportedError(
                "Images are classified over HTTP only.",
                "Use the server's http:// address.",
                status=501,
            )
    raise TypeError(f"no message for {operation!r}")


def answer_class(method: str) -> Any:
    """The class of the message that answers a method."""
    return getattr(pb, f"{method}Response")


def decode(operation: Operation[Any], message: Any) -> Any:
    """What the answer to an operation says.

    Raises:
        ProtocolError: If it is not what the protocol says.
    """
    match operation:
        case Live():
            return message.live
        case Ready():
            return message.ready
        case AboutServer():
            return ServerMetadata(message.name, message.version, tuple(message.extensions))
        case AboutModel():
            return ModelMetadata(
                message.name,
                tuple(message.versions),
                message.platform,
                _tensors(message.inputs),
                _tensors(message.outputs),
            )
        case Config():
            return dict(_plain(message)["config"])
        case Stats():
            return list(_plain(message).get("model_stats", ()))
        case Index():
            return tuple(
                ModelState(model.name, model.version, model.state, model.reason)
                for model in message.models
            )
        case Control():
            return None
        case Infer():
            return _outputs(message)
    raise TypeError(f"no answer for {operation!r}")


def failure(error: Any, address: object) -> ClientError:
    """What a ``grpc.RpcError`` is.

    Args:
        error: With its status, from a call that ended; a passed deadline is not for here.
        address: Of the server.
    """
    code = error.code()
    details = error.details() or ""
    tail = dict(error.trailing_metadata() or ())
    request_id = str(tail.get("x-request-id", ""))
    if code == grpc.StatusCode.UNAVAILABLE and _of_the_connection(details):
        if re.search("failed to connect|resolution|Failed to pick|handshake|refused", details):
            return UnreachableError(
                f"Nobody answers at {address}: {details}.",
                "Check host and port, that it has started, and whether it speaks TLS.",
            )
        return LostError(
            f"The connection to {address} ended before the answer: {details}.",
            "Look at the server's log; it may have been stopped.",
        )
    status = _STATUSES.get(code, 500)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and re.search("larger than|bytes", details):
        status = 413  # gRPC has one code for what is too large and for what is too often
    if not request_id and (found := re.search(r" \[request ([^\]]+)\]$", details)):
        request_id = found[1]
    return refusal(
        status,
        re.sub(r" \[request [^\]]+\]$", "", details),
        request_id=request_id,
        retry_after=_pushback(tail, status),
    )


def _of_the_connection(details: str) -> bool:
    """Whether it is grpcio that says unavailable, rather than the server."""
    return bool(
        re.search(
            "connections to all backends|connect|Socket closed|GOAWAY|Broken pipe|reset|"
            "handshake|resolution|Stream removed|EOF|recvmsg|sendmsg",
            details,
        )
    )


def _pushback(tail: Mapping[str, Any], status: int) -> float | None:
    """When to come back (``grpc-retry-pushback-ms``, proposal A6).

    Over gRPC few servers say it: then that is the client's to choose.
    """
    said = str(tail.get("grpc-retry-pushback-ms", ""))
    if said:
        return int(said) / 1e3 if said.isdecimal() else None
    seconds = str(tail.get("retry-after", ""))
    if seconds.isdecimal():
        return float(seconds)
    return 0.0 if status in (429, 503) else None


def _infer(operation: Infer) -> Any:
    request = pb.ModelInferRequest(
        model_name=operation.model, model_version=operation.version, id=operation.id
    )
    for name, tensor in operation.inputs.items():
        request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
        content = tensor.to_bytes()
        request.raw_input_contents.append(bytes(content))
    for name in operation.outputs:
        output = request.outputs.add(name=name)
        if operation.classes:
            output.parameters["classification"].int64_param = operation.classes
    parameters: dict[str, Any] = dict(operation.parameters)
    if operation.priority:
        parameters["priority"] = operation.priority
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
        setattr(request.parameters[name], kind[type(value)], value)
    return request


def _outputs(message: Any) -> dict[str, Array]:
    raw = list(message.raw_output_contents)
    if raw and len(raw) != len(message.outputs):
        raise ProtocolError(
            f"The answer has {len(raw)} raw contents for {len(message.outputs)} outputs."
        )
    arrays = {}
    for at, output in enumerate(message.outputs):
        shape = tuple(output.shape)
        if raw:
            arrays[output.name] = from_bytes(raw[at], output.datatype, shape, output.name)
            continue
        values: list[Any] = list(getattr(output.contents, _CONTENTS.get(output.datatype, ""), ()))
        if output.datatype == "BYTES":
            values = [value.decode("utf-8", "surrogateescape") for value in values]
        arrays[output.name] = from_json(values, output.datatype, shape, output.name)
    return arrays


def _tensors(items: Iterable[Any]) -> tuple[TensorMetadata, ...]:
    return tuple(
        TensorMetadata(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in items
    )


def _plain(message: Any) -> dict[str, Any]:
    """A message as REST's JSON has it, where 64-bit numbers are numbers and no strings."""
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    content: dict[str, Any] = json.loads(text, object_hook=_numbers)
    return content


def _numbers(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value if key in _TEXTS else _number(value) for key, value in entry.items()}


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(element) for element in value]
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    return value

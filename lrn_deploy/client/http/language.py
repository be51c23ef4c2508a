"""Operations as HTTP requests, and their answers: the protocol's REST form and lrn-server's images.

Tensors travel by the binary tensor extension: the JSON first, whose length is in the header
``Inference-Header-Content-Length``, then the raw tensors in its order.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from lrn_deploy.client.answers import (
    Classified,
    Label,
    ModelMetadata,
    ModelState,
    ServerMetadata,
    TensorMetadata,
)
from lrn_deploy.client.errors import ProtocolError, RefusedError, refusal
from lrn_deploy.client.http.wire import HttpAnswer, HttpRequest
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
from lrn_deploy.client.tensors import Array, Bytes, from_bytes, from_json

LENGTH = "inference-header-content-length"
_JSON = ("content-type", "application/json")
_BINARY = ("content-type", "application/octet-stream")


def encode(operation: Operation[Any], seconds: float | None, prefix: str = "") -> HttpRequest:
    """The request for an operation.

    Args:
        operation: What is asked.
        seconds: How long the caller waits for it, which an inference tells the server; None: any
            time.
        prefix: What stands before the protocol's paths.
    """
    match operation:
        case Live():
            return _get(prefix, "v2/health/live")
        case Ready(model=""):
            return _get(prefix, "v2/health/ready")
        case Ready():
            return _get(prefix, _model(operation), "ready")
        case AboutServer():
            return _get(prefix, "v2")
        case AboutModel():
            return _get(prefix, _model(operation))
        case Config():
            return _get(prefix, _model(operation), "config")
        case Stats(model=""):
            return _get(prefix, "v2/models/stats")
        case Stats():
            return _get(prefix, _model(operation), "stats")
        case Index():
            return HttpRequest("POST", f"{prefix}/v2/repository/index", (_JSON,), (b"{}",))
        case Control():
            name, act = quote(operation.model, safe=""), "load" if operation.load else "unload"
            target = f"{prefix}/v2/repository/models/{name}/{act}"
            return HttpRequest("POST", target, (_JSON,), (b"{}",))
        case Infer():
            return _infer(operation, seconds, prefix)
        case Classify():
            return _classify(operation, prefix)
    raise TypeError(f"no HTTP request for {operation!r}")


def decode(operation: Operation[Any], answer: HttpAnswer) -> Any:
    """What the answer to an operation says.

    Raises:
        RefusedError: If it is a refusal.
        ProtocolError: If it is not what the protocol says.
    """
    if isinstance(operation, Live | Ready) and answer.status == 503:
        return False
    if not 200 <= answer.status < 300:
        if isinstance(operation, Ready) and operation.model and answer.status == 400:
            return False  # Triton 2.51's answer for a model that is not ready
        raise _refusal(answer)
    match operation:
        case Live() | Ready():
            return True
        case Control():
            return None
        case Infer():
            return _outputs(answer)
    try:
        content = json.loads(answer.body)
        match operation:
            case AboutServer():
                return ServerMetadata(
                    content["name"], content.get("version", ""), tuple(content["extensions"])
                )
            case AboutModel():
                return model_metadata(content)
            case Index():
                return tuple(
                    ModelState(
                        model["name"],
                        model.get("version") or "",
                        model.get("state") or "",
                        model.get("reason") or "",
                    )
                    for model in content
                )
            case Stats():
                return list(content["model_stats"])
            case Config():
                return dict(content)
            case Classify():
                return tuple(_classified(result) for result in content["results"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(
            f"The answer is not what the protocol says: {type(error).__name__} {error}.",
            "Check that the URL is that of an inference server.",
            status=answer.status,
        ) from error
    raise TypeError(f"no HTTP answer for {operation!r}")


def model_metadata(content: Mapping[str, Any]) -> ModelMetadata:
    """A model's metadata from the protocol's JSON."""

    def tensors(key: str) -> tuple[TensorMetadata, ...]:
        return tuple(
            TensorMetadata(
                tensor["name"], tensor["datatype"], tuple(int(axis) for axis in tensor["shape"])
            )
            for tensor in content[key]
        )

    return ModelMetadata(
        content["name"],
        tuple(content.get("versions") or ()),
        content.get("platform", ""),
        tensors("inputs"),
        tensors("outputs"),
    )


def _get(prefix: str, *parts: str) -> HttpRequest:
    return HttpRequest("GET", "/".join((prefix, *parts)))


def _model(operation: Ready | AboutModel | Config | Stats | Infer) -> str:
    path = f"v2/models/{quote(operation.model, safe='')}"
    return f"{path}/versions/{quote(operation.version, safe='')}" if operation.version else path


def _infer(operation: Infer, seconds: float | None, prefix: str) -> HttpRequest:
    tails: list[Bytes] = []
    inputs = []
    for name, tensor in operation.inputs.items():
        entry: dict[str, Any] = {
            "name": name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if operation.binary:
            tails.append(tensor.to_bytes())
            entry["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            entry["data"] = tensor.to_json()
        inputs.append(entry)
    parameters: dict[str, Any] = dict(operation.parameters)
    if seconds is not None:
        parameters["timeout"] = max(1, int(seconds * 1e6))
    if operation.priority:
        parameters["priority"] = operation.priority
    content: dict[str, Any] = {"id": operation.id} if operation.id else {}
    content["inputs"] = inputs
    if operation.outputs:
        wanted: dict[str, Any] = {"binary_data": True} if operation.binary else {}
        if operation.classes:
            wanted["classification"] = operation.classes
        content["outputs"] = [{"name": name, "parameters": wanted} for name in operation.outputs]
    elif operation.binary:
        parameters["binary_data_output"] = True
    content["parameters"] = parameters
    head = json.dumps(content).encode()
    headers = (_BINARY, (LENGTH, str(len(head)))) if operation.binary else (_JSON,)
    target = f"{prefix}/{_model(operation)}/infer"
    return HttpRequest("POST", target, headers, (head, *tails))


def _classify(operation: Classify, prefix: str) -> HttpRequest:
    query: dict[str, Any] = {"model": operation.model} if operation.model else {}
    target = f"{prefix}/v1/classify?{urlencode(query | {'top': operation.top})}"
    if len(operation.images) == 1:
        return HttpRequest("POST", target, (_BINARY,), (operation.images[0][1],))
    boundary = secrets.token_hex(16)
    parts: list[Bytes] = []
    for name, content in operation.images:
        shown = name.replace("\\", "/").rpartition("/")[2]
        quoted = "".join("_" if char in '"\r\n' else char for char in shown)
        parts.append(
            f'--{boundary}\r\ncontent-disposition: form-data; name="image"; filename="{quoted}"'
            "\r\ncontent-type: application/octet-stream\r\n\r\n".encode()
        )
        parts += [content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    form = ("content-type", f"multipart/form-data; boundary={boundary}")
    return HttpRequest("POST", target, (form,), tuple(parts))


def _outputs(answer: HttpAnswer) -> dict[str, Array]:
    length = answer.headers.get(LENGTH, "")
    end = int(length) if length.isdecimal() else len(answer.body)
    tails = memoryview(answer.body)[end:]
    arrays: dict[str, Array] = {}
    at = 0
    try:
        content = json.loads(answer.body[:end])
        for entry in content["outputs"]:
            name, datatype, shape = entry["name"], entry["datatype"], entry["shape"]
            size = (entry.get("parameters") or {}).get("binary_data_size")
            if size is None:
                arrays[name] = from_json(entry["data"], datatype, shape, name)
                continue
            arrays[name] = from_bytes(tails[at : at + size], datatype, shape, name)
            at += size
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(
            f"The answer is no inference response: {type(error).__name__} {error}.",
            "Check that the URL is that of an inference server.",
            status=answer.status,
        ) from error
    return arrays


def _classified(result: Mapping[str, Any]) -> Classified:
    labels = tuple(
        Label(predicted["index"], predicted["label"], predicted["probability"])
        for predicted in result["predictions"]
    )
    return Classified(result["image"], labels, result.get("error") or "")


def _refusal(answer: HttpAnswer) -> RefusedError:
    said, request_id = "", answer.headers.get("x-request-id", "")
    try:
        content = json.loads(answer.body)
        said = str(content["error"])
        request_id = str(content.get("request_id") or request_id)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = answer.body[:200].decode("utf-8", "replace").strip()
        said = f"The server answered {answer.status}: {text}" if text.isprintable() else ""
    return refusal(
        answer.status,
        said,
        request_id=request_id,
        retry_after=_seconds(answer.headers.get("retry-after")),
    )


def _seconds(text: str | None) -> float | None:
    """``Retry-After`` (RFC 9110, 10.2.3): seconds or a date; None if it is neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None

"""An HTTP request and its answer, as every front gives and takes them."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lrn_deploy.serving.batching.job import Timing
from lrn_deploy.serving.errors import InvalidRequestError, RequestError, TooLargeError
from lrn_deploy.serving.protocol.json_limits import check_json_limits
from lrn_deploy.serving.telemetry.trace import Trace

JSON = "application/json"
BINARY = "application/octet-stream"

_WORTH_COMPRESSING = 1024


@dataclass(slots=True)
class Request:
    """A request.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        path: Decoded path, without the query.
        headers: Names in lower case.
        query: The query's parameters.
        body: Empty until it has been read; see :meth:`lrn_deploy.serving.rest.app.App.admit`.
        id: What identifies it in logs and answers.
        client: Address of the peer.
        caller: Who it counts for in rate limits and turns; see :mod:`.clients`.
        trace: Its place in a trace; None if it is in none.
        timings: Of what has run for it, as far as that is done.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | bytearray = b""
    id: str = ""
    client: str = ""
    caller: str = ""
    trace: Trace | None = None
    timings: list[Timing] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Response:
    """An answer.

    Attributes:
        status: HTTP's.
        headers: Names in lower case.
        body: The whole body, unless there is a stream.
        stream: Parts of a body that comes by and by.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


def json_response(value: Any, status: int = 200) -> Response:
    """``value`` as JSON."""
    return Response(status, (("content-type", JSON),), json.dumps(value).encode())


def error_response(error: RequestError, request_id: str = "") -> Response:
    """An error as the protocol has it, ``{"error": …}``, with the request's id."""
    response = json_response(
        {"error": error.message} | ({"request_id": request_id} if request_id else {}), error.status
    )
    return replace(response, headers=(*response.headers, *error.headers))


def parse_json(text: bytes | bytearray) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InvalidRequestError: If it is none, is nested too deeply, has a key twice, or has NaN or
            Infinity, which JSON does not know.
        TooLargeError: If it has too many arrays and objects.
    """
    check_json_limits(text)
    try:
        value = _DECODER.decode(str(text, "utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"The JSON is not UTF-8: {error.reason}.") from error
    except ValueError as error:
        raise InvalidRequestError(f"Failed to parse the request as JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequestError(f"The request must be a JSON object, got {_json_name(value)}.")
    return value


def decompress(body: bytes | bytearray, encoding: str, limit: int) -> bytes | bytearray:
    """Undo a Content-Encoding.

    Args:
        body: As it came.
        encoding: ``gzip``, ``deflate``, ``identity`` or empty.
        limit: Bytes that may come out.

    Raises:
        InvalidRequestError: If the encoding is unknown, or the body is not in it.
        TooLargeError: If more bytes would come out.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise InvalidRequestError(
            f"Content-Encoding '{encoding}' is not supported; use gzip, deflate or identity."
        )
    unpacker = zlib.decompressobj(wbits=47)  # gzip or zlib, as its header says
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"The body is no valid {encoding} data: {error}.") from error
    if len(plain) > limit:
        raise TooLargeError(f"The body unpacks to more than {limit:,} bytes, which is the limit.")
    if not unpacker.eof:
        raise InvalidRequestError(f"The {encoding} body is cut short.")
    if unpacker.unused_data:
        raise InvalidRequestError(f"Something follows the {encoding} body.")
    return plain


def compressed(response: Response, accepted: str) -> Response:
    """``response`` in an encoding that the client accepts, if it is large enough to be worth it."""
    if not accepted or len(response.body) < _WORTH_COMPRESSING:
        return response
    offers = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    encoding = next((name for name in ("gzip", "deflate") if name in offers), None)
    if encoding is None:
        return response
    packer = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    body = packer.compress(response.body) + packer.flush()
    return replace(response, headers=(*response.headers, ("content-encoding", encoding)), body=body)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; send such values as binary tensors if you must")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        ((twin, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key '{twin[:40]}' is there twice")
    return value


def _json_name(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_without_twins)

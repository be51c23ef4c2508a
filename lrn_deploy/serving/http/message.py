"""An answer, before it is bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from lrn_deploy.serving.errors import RequestError

JSON = "application/json"
BINARY = "application/octet-stream"


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

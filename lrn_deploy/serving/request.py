"""A request, as every transport hands it to the service: who asks for what, and what ran for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from lrn_deploy.serving.batching.job import Timing
from lrn_deploy.serving.trace import Trace

_MAX_ID = 128
_PREFIX = os.urandom(4).hex()
_numbers = itertools.count(1)


@dataclass(slots=True)
class Request:
    """A request.

    Attributes:
        method: ``GET``, ``POST`` and so on, or ``gRPC``.
        path: Decoded path, without the query; of gRPC the name of the method.
        headers: Names in lower case.
        query: The query's parameters.
        body: Empty until it has been read, which is after the request was admitted.
        id: What identifies it in logs and answers.
        peer: Address that it came from.
        caller: Who it counts for in rate limits and turns; see :mod:`.rate_limit`.
        key: Name of the API key that it came with; empty where none is asked for.
        trace: Its place in a trace; None if it is in none.
        timings: Of what has run for it, as far as that is done.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | bytearray = b""
    id: str = ""
    peer: str = ""
    caller: str = ""
    key: str = ""
    trace: Trace | None = None
    timings: list[Timing] = field(default_factory=list, compare=False)


def request_id(claimed: str | None) -> str:
    """The caller's own id (``X-Request-Id``) if it is fit to print, else a new one."""
    if claimed and len(claimed) <= _MAX_ID and claimed.isascii() and claimed.isprintable():
        return claimed
    return f"{_PREFIX}-{next(_numbers)}"

"""W3C Trace Context: which trace a request belongs to, and what its answer says of it.

``traceparent`` comes with the request (Trace Context, level 1); the answer has ``traceresponse``
(level 2), whose span is this server's part of the trace.
"""

from __future__ import annotations

import random
import re
import secrets
from dataclasses import dataclass, field

REQUEST_HEADER = "traceparent"
RESPONSE_HEADER = "traceresponse"

_FORMAT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True)
class Trace:
    """A request's place in a trace.

    Attributes:
        trace: Id of the trace, 32 hexadecimal digits.
        parent: Id of the caller's span, 16 digits; empty if the trace begins here.
        sampled: Whether the caller, or this server for a trace of its own, records it.
        span: Id of this server's span.
    """

    trace: str
    parent: str
    sampled: bool
    span: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def header(self) -> str:
        """Value of ``traceresponse``."""
        return f"00-{self.trace}-{self.span}-{int(self.sampled):02x}"


def trace_of(header: str | None, sample: float) -> Trace | None:
    """The trace of a request.

    Args:
        header: Its ``traceparent``; one that is malformed counts as none, as the standard says.
        sample: Of requests without one, the part that begins a trace, from 0 to 1.
    """
    found = _FORMAT.fullmatch(header.strip()) if header else None
    if found is not None:
        version, trace, parent, flags, more = found.groups()
        right = version != "ff" and not (version == "00" and more)
        if right and trace.strip("0") and parent.strip("0"):
            return Trace(trace, parent, sampled=bool(int(flags, 16) & 1))
    if sample and random.random() < sample:  # noqa: S311 - no secret
        return Trace(secrets.token_hex(16), "", sampled=True)
    return None

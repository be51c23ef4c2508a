"""Why a request is refused, in terms that every transport can tell its caller.

The status is HTTP's; the gRPC server translates it. Triton 2.51 answers 500 to requests that the
caller got wrong; here those are 400.
"""

from __future__ import annotations

from typing import Literal

Reason = Literal["REJECTED", "CANCELED", "BACKEND", "OTHER"]
"""Triton's reasons of a failed request, as its metric ``nv_inference_request_failure`` has them."""
_LONGEST = 1000
"""Characters of a message: by gRPC it travels in a header, and it stands in the log."""


class RequestError(Exception):
    """A request that gets no answer but this.

    Args:
        message: What was wrong and what would be right, in one or two sentences.
        retry_after: Seconds after which the same request may succeed, for status 503 and 429.
    """

    status = 400
    reason: Reason = "OTHER"

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        if len(message) > _LONGEST:  # what a caller sent may stand in it
            message = f"{message[:_LONGEST]} … (of {len(message):,} characters)."
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What an answer by HTTP says beside its status and its body."""
        return () if self.retry_after is None else (("retry-after", str(self.retry_after)),)


class InvalidRequestError(RequestError):
    """The caller sent something that no server could answer."""


class UnauthorizedError(RequestError):
    """The request has no key, or none that is taken.

    Args:
        message: As for every error.
        scope: What the key must allow.
        sent: Whether there was one.
    """

    status = 401

    def __init__(self, message: str, scope: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self._scope = scope
        self._sent = sent

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """``WWW-Authenticate``, which this status must have (RFC 9110, 15.5.2; RFC 6750, 3)."""
        wrong = ', error="invalid_token"' if self._sent else ""
        return (("www-authenticate", f'Bearer realm="lrn-server", scope="{self._scope}"{wrong}'),)


class ForbiddenError(RequestError):
    """Whoever asks may not have this done."""

    status = 403


class ScopeError(ForbiddenError):
    """The request's key does not allow it.

    Args:
        message: As for every error.
        scope: What the key would have to allow.
    """

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self._scope = scope

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """``WWW-Authenticate`` again, as RFC 6750, 3.1, has it."""
        challenge = f'Bearer realm="lrn-server", error="insufficient_scope", scope="{self._scope}"'
        return (("www-authenticate", challenge),)


class NotFoundError(RequestError):
    """There is no such model, version or path."""

    status = 404


class MethodError(RequestError):
    """The path exists, but not for this method.

    Args:
        message: As for every error.
        methods: Those that it exists for.
    """

    status = 405

    def __init__(self, message: str, methods: tuple[str, ...]) -> None:
        super().__init__(message)
        self.methods = methods

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """``Allow``, which this status must have (RFC 9110, 15.5.6)."""
        return (("allow", ", ".join(self.methods)),)


class TimedOutError(RequestError):
    """The caller did not send its body in time."""

    status = 408


class TooLargeError(RequestError):
    """The body, or what it unpacks to, is over the limit."""

    status = 413


class ExpectationError(RequestError):
    """The caller expects what this server does not do."""

    status = 417


class TooManyError(RequestError):
    """The caller sends more requests than it may."""

    status = 429


class HeadTooLargeError(RequestError):
    """The head of the request is over the limit."""

    status = 431


class UnsupportedError(RequestError):
    """Part of the protocol that this server does not have."""

    status = 501


class UnavailableError(RequestError):
    """Right, but not now: the queue is full, the deadline has passed, the server is stopping."""

    status = 503
    reason: Reason = "REJECTED"

    def __init__(self, message: str, *, retry_after: int | None = 1) -> None:
        super().__init__(message, retry_after=retry_after)


class ClosedError(UnavailableError):
    """This instance of the model takes no more requests; a newer one may."""


class AbandonedError(UnavailableError):
    """The network did not come back from this request."""

    reason = "BACKEND"


class CanceledError(RequestError):
    """The caller went away."""

    status = 499
    reason = "CANCELED"


class InferenceError(RequestError):
    """The network failed on this request."""

    status = 500
    reason = "BACKEND"


class BugError(RequestError):
    """Something that we did not foresee."""

    status = 500

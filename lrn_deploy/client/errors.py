"""What can become of a request instead of an answer, one class for each kind.

Each carries what the server said, word for word, its status as HTTP has it, and the request's id,
under which the server's log has more.
"""

from __future__ import annotations

from lrn_deploy.errors import CHECK_FAILED, DAMAGED, MISSING, LrnDeployError


class ClientError(LrnDeployError):
    """Base of every error of a request.

    Args:
        message: What is wrong, in the server's own sentence if it said one.
        hint: How to fix it; may be empty.
        status: Status as HTTP has it, also of gRPC's; 0 if there was no answer.
        request_id: The server's id of the request; empty if it said none.
        retry_after: Seconds after which the server wants to be asked again; None if it said none.
    """

    exit_code = CHECK_FAILED

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int = 0,
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class UnreachableError(ClientError):
    """Nobody took the request: no such host, nobody listens, no TLS could be agreed on."""

    exit_code = MISSING


class LostError(ClientError):
    """The connection ended before the answer was whole; the server may have done the work."""


class DeadlineError(ClientError):
    """The time was up before there was an answer."""


class ProtocolError(ClientError):
    """The answer is not what the protocol says."""

    exit_code = DAMAGED


class RefusedError(ClientError):
    """The server answered, with a refusal. Those below are the kinds; others are of this class."""


class InvalidRequestError(RefusedError):
    """400: no server could answer this request."""


class UnauthenticatedError(RefusedError):
    """401: the server asks for an API key, or does not know this one."""


class ForbiddenError(RefusedError):
    """403: whoever asks may not have this done."""


class NotFoundError(RefusedError):
    """404: there is no such model, version or path."""


class TooLargeError(RefusedError):
    """413: the request is over the server's limit."""


class TooManyRequestsError(RefusedError):
    """429: this client has sent more than it may."""


class ServerError(RefusedError):
    """500 and above: the server failed on this request."""


class UnsupportedError(ServerError):
    """501: the server does not have this part of the protocol."""


class UnavailableError(ServerError):
    """503: right, but not now; the queue is full, or the model is not loaded."""


_KINDS: dict[int, type[RefusedError]] = {
    400: InvalidRequestError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    413: TooLargeError,
    429: TooManyRequestsError,
    501: UnsupportedError,
    503: UnavailableError,
}
_HINTS = {
    401: "Give the key that the server knows: api_key= or --api-key.",
    413: "Send less at once, or raise the server's limit.",
}


def refusal(
    status: int, message: str, *, request_id: str = "", retry_after: float | None = None
) -> RefusedError:
    """The error that a status stands for.

    Args:
        status: As HTTP has it, 400 or above.
        message: The server's own sentence.
        request_id: Its id of the request.
        retry_after: When it wants to be asked again.
    """
    kind = _KINDS.get(status, ServerError if status >= 500 else RefusedError)
    return kind(
        message or f"The server answered {status} and did not say why.",
        _HINTS.get(status, ""),
        status=status,
        request_id=request_id,
        retry_after=retry_after,
    )

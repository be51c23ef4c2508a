"""What a connection asks of whatever answers its requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lrn_deploy.serving.errors import RequestError
from lrn_deploy.serving.http.message import Response
from lrn_deploy.serving.request import Request


class Handler(Protocol):
    """An application."""

    @property
    def body_limit(self) -> int:
        """The bytes that a body may have, also one that nobody wants."""
        ...

    @property
    def body_seconds(self) -> float:
        """The time that a caller may take to send its body."""
        ...

    @property
    def answer_seconds(self) -> float:
        """The time that a caller may take to take its answer."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether connections should end with the next answer."""
        ...

    def begin(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        peer: str,
    ) -> Request:
        """Make a request of a head, and of the peer's address."""
        ...

    def admit(self, request: Request) -> int:
        """Decide about a request before its body is read.

        Returns:
            The bytes that its body may have.

        Raises:
            RequestError: If it would be refused whatever its body.
        """
        ...

    async def handle(self, request: Request) -> Response:
        """Answer a request; never raises, but for cancellation."""
        ...

    def refusal(self, request: Request, error: RequestError, started: int) -> Response:
        """The answer to a request that is refused before :meth:`handle`.

        Args:
            request: The request, as far as it is known.
            error: Why.
            started: When it came, in nanoseconds of the monotonic clock.
        """
        ...

    def answer_headers(self, request: Request) -> tuple[tuple[str, str], ...]:
        """What every answer to the request says, refusals too."""
        ...

    def bug(self, request: Request, error: Exception, started: int) -> None:
        """Take note of what should not have happened."""
        ...

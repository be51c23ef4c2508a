"""What a path of the server is: a method, a pattern, and what answers it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from lrn_deploy.serving.http.message import Response, json_response
from lrn_deploy.serving.request import Request

Match = re.Match[str]
Handler = Callable[[Request, Match], Awaitable[Response]]


class Route:
    """A path.

    Args:
        method: ``GET`` or ``POST``; ``HEAD`` goes where ``GET`` does.
        pattern: Regular expression of the whole path; its groups are for the handler.
        handler: What answers.
        works: True if the network runs for it, so that it counts for the rate limit, and a full
            queue refuses it before its body is read.
        guarded: True if no web page of another origin may ask for it, since it changes or costs
            something; None: unless it is a ``GET``.
    """

    def __init__(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        *,
        works: bool = False,
        guarded: bool | None = None,
    ) -> None:
        self.methods = ("GET", "HEAD") if method == "GET" else (method,)
        self.handler = handler
        self.works = works
        self.guarded = method != "GET" if guarded is None else guarded
        self._pattern = re.compile(pattern)

    def match(self, path: str) -> Match | None:
        """The match if this is the route of ``path``."""
        return self._pattern.fullmatch(path)

    def takes(self, method: str) -> bool:
        """Whether it is there for ``method``."""
        return method in self.methods


def answers(operation: Callable[[Match], Any]) -> Handler:
    """What answers with the result of an operation, as JSON.

    Args:
        operation: Takes the match of the path.
    """

    async def answer(_request: Request, match: Match) -> Response:
        return json_response(operation(match))

    return answer


def tells(operation: Callable[[Match], bool]) -> Handler:
    """What answers with 200 if an operation gives True, else with 503; both without a body."""

    async def answer(_request: Request, match: Match) -> Response:
        return Response(200 if operation(match) else 503)

    return answer

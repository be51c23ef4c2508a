"""What a path of the server is: a method, a pattern, and what answers it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from lrn_deploy.serving.http.message import Response, json_response
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.security.scopes import NEEDED

Match = re.Match[str]
Handler = Callable[[Request, Match], Awaitable[Response]]
_PARTS = re.compile(r"\{(\w+)\}|\[|\]|[^{}\[\]]+")
_VERSION = "[0-9]+"


class Route:
    """A path.

    Args:
        method: ``GET`` or ``POST``; ``HEAD`` goes where ``GET`` does.
        path: With ``{name}`` for a part that the handler is given, and what may be left out in
            square brackets.
        handler: What answers.
        operation: What it asks the service for, by its name in ``security/scopes.py``, which says
            whose key allows it.
        works: True if the network runs for it, so that it counts for the rate limit, and a full
            queue refuses it before its body is read.
        guarded: True if no web page of another origin may ask for it, since it changes or costs
            something; None: unless it is a ``GET``.
    """

    def __init__(
        self,
        method: str,
        path: str,
        handler: Handler,
        operation: str,
        *,
        works: bool = False,
        guarded: bool | None = None,
    ) -> None:
        self.method = method
        self.methods = ("GET", "HEAD") if method == "GET" else (method,)
        self.path = path
        self.handler = handler
        self.operation = operation
        self.scope = NEEDED[operation]
        self.works = works
        self.guarded = method != "GET" if guarded is None else guarded
        self._pattern = re.compile("".join(map(_expression, _PARTS.finditer(path))))

    def match(self, path: str) -> Match | None:
        """The match if this is the route of ``path``."""
        return self._pattern.fullmatch(path)

    def takes(self, method: str) -> bool:
        """Whether it is there for ``method``."""
        return method in self.methods


def _expression(part: Match) -> str:
    """A part of a route's path as a regular expression."""
    if part[1]:
        return f"(?P<{part[1]}>{_VERSION if part[1] == 'version' else '[^/]+'})"
    return {"[": "(?:", "]": ")?"}.get(part[0]) or re.escape(part[0])


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

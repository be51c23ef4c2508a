"""What a path of the server is: a method, a pattern, and what answers it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from lrn_deploy.serving.message import Request, Response

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
    """

    def __init__(self, method: str, pattern: str, handler: Handler, *, works: bool = False) -> None:
        self.method = method
        self.handler = handler
        self.works = works
        self._pattern = re.compile(pattern)

    def match(self, path: str) -> Match | None:
        """The match if this is the route of ``path``."""
        return self._pattern.fullmatch(path)

    def takes(self, method: str) -> bool:
        """Whether it is there for ``method``."""
        return method == self.method or (method == "HEAD" and self.method == "GET")

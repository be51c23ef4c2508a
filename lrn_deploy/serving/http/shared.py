"""What all connections of one port share."""

from __future__ import annotations

import asyncio
from typing import Protocol

from lrn_deploy.serving.http.answer import date_header
from lrn_deploy.serving.http.crowd import Crowd
from lrn_deploy.serving.http.handler import Handler

_SCRATCH_BYTES = 64 * 2**10


class Watched(Protocol):
    """A connection, as who watches over it sees it."""

    deadline: float

    @property
    def busy(self) -> bool:
        """Whether it has a request whose answer is not written yet."""
        ...

    def expire(self) -> None:
        """The deadline has passed."""
        ...

    def close(self) -> None:
        """End it, once what is written has been sent."""
        ...


class Shared:
    """Made by the server, given to each connection.

    Args:
        handler: What answers.
        crowd: How many there may be.

    Attributes:
        loop: Where all of it runs; set when that is known.
        connections: Those that are open.
        date: The header of that name.
        scratch: Where connections read what has no place of its own; used at once.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, handler: Handler, crowd: Crowd | None = None) -> None:
        self.handler = handler
        self.crowd = Crowd() if crowd is None else crowd  # an empty one is false
        self.connections: set[Watched] = set()
        self.date = date_header()
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))

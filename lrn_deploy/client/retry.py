"""When a request is sent again: what is safe, how often, after how long, and within which budget.

The budget is gRPC's retry throttling (proposal A6): a bucket of tokens from which each failure
takes one and to which each answer adds a part of one. Once it is half empty nothing is sent again,
so that a server in trouble gets at most ``1 + ratio`` times the requests, and not a multiple. The
waits are A6's too: anything from 0 to a bound that doubles, so that clients who failed together do
not come back together.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lrn_deploy.client.errors import (
    ClientError,
    DeadlineError,
    LostError,
    TooManyRequestsError,
    UnavailableError,
    UnreachableError,
)
from lrn_deploy.errors import BadInputError

Clock = Callable[[], float]
Draw = Callable[[float, float], float]


class Budget:
    """Tokens for sending again, shared by all requests of a client. Thread-safe.

    Args:
        tokens: What the bucket holds, and starts with.
        ratio: What each answer adds.
    """

    def __init__(self, tokens: float = 10.0, ratio: float = 0.1) -> None:
        if not (tokens > 0 and ratio >= 0):
            raise BadInputError(
                f"A retry budget needs tokens above 0 and a ratio of 0 or more, got {tokens} "
                f"and {ratio}."
            )
        self._most = tokens
        self._ratio = ratio
        self._tokens = tokens
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        """How many there are."""
        return self._tokens

    def answered(self) -> None:
        """A request was answered."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._ratio)

    def failed(self) -> bool:
        """A request failed; returns whether it may be sent again."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)
            return self._tokens > self._most / 2


@dataclass(frozen=True)
class Retry:
    """How requests are sent again.

    Attributes:
        attempts: How often a request is sent at most; 1 never sends it again.
        first: Bound of the first wait in seconds.
        factor: By how much each further bound is larger.
        most: Largest bound in seconds. What a server asks for (``Retry-After``) is waited in any
            case, on top of which a wait is drawn.
        budget: What all requests of a client have for it.
        clock: Seconds, of a clock that never goes back.
        draw: A random number between two.
    """

    attempts: int = 4
    first: float = 0.1
    factor: float = 2.0
    most: float = 5.0
    budget: Budget = field(default_factory=Budget)
    clock: Clock = time.monotonic
    draw: Draw = random.uniform

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise BadInputError(f"A request is sent once at least, got attempts={self.attempts}.")
        if not (0 <= self.first <= self.most and self.factor >= 1):
            raise BadInputError(
                f"Waits between retries must grow from first to most, got first={self.first}, "
                f"most={self.most}, factor={self.factor}."
            )

    def begin(self, timeout: float | None, *, repeatable: bool = True) -> Attempts:
        """The attempts of one request.

        Args:
            timeout: Seconds for all of them together; None: any time.
            repeatable: Whether it does no harm if the server does its work twice.
        """
        return Attempts(self, timeout, repeatable)


NEVER = Retry(attempts=1)
"""Sends nothing again."""


class Attempts:
    """The attempts of one request, until it is answered or given up."""

    def __init__(self, retry: Retry, timeout: float | None, repeatable: bool) -> None:
        if timeout is not None and not timeout > 0:
            raise BadInputError(f"A timeout must be above 0 seconds, got {timeout}.")
        self._retry = retry
        self._timeout = timeout
        self._repeatable = repeatable
        self._ends = None if timeout is None else retry.clock() + timeout
        self._sent = 0

    def remaining(self) -> float | None:
        """Seconds that are left for the attempt that begins now; the first has all of them.

        Raises:
            DeadlineError: If none are left.
        """
        self._sent += 1
        if self._ends is None or self._sent == 1:
            return self._timeout
        left = self._ends - self._retry.clock()
        if left <= 0:
            raise self.late()
        return left

    def answered(self) -> None:
        """The server answered what was asked."""
        self._retry.budget.answered()

    def wait(self, error: ClientError) -> float:
        """Seconds to wait until the request is sent again.

        Args:
            error: What became of the last attempt. It is raised again where there shall be no
                further one: what was asked is the trouble, the attempts or the budget are used up,
                or the deadline would pass meanwhile.

        Raises:
            DeadlineError: If the time was up: a server that was told of it says so as 503.
        """
        if isinstance(error, UnavailableError) and self._up():
            raise self.late() from error
        if not self._may_help(error):
            self._retry.budget.answered()  # whatever the server said, it is well
            raise error
        affordable = self._retry.budget.failed()
        if not affordable or self._sent >= self._retry.attempts:
            raise error
        bound = self._retry.first * self._retry.factor ** (self._sent - 1)
        seconds = self._retry.draw(0.0, min(bound, self._retry.most)) + (error.retry_after or 0.0)
        if self._ends is not None and self._retry.clock() + seconds >= self._ends:
            raise error
        return seconds

    def late(self) -> DeadlineError:
        """The error of a request whose time is up."""
        return DeadlineError(
            f"There was no answer within {self._timeout:g} s.", "Allow more time: timeout=."
        )

    def _up(self) -> bool:
        return self._ends is not None and self._retry.clock() >= self._ends

    def _may_help(self, error: ClientError) -> bool:
        """Whether another attempt may do better, and does no harm."""
        if isinstance(error, UnavailableError | TooManyRequestsError):
            return error.retry_after is not None  # it has done nothing, and says when to come back
        if isinstance(error, LostError):
            return self._repeatable
        return isinstance(error, UnreachableError)

"""One thread that sends requests when they are due, and notes what becomes of each.

It never waits for an answer: what is due is sent, and while nothing is due it looks for answers. A
request that cannot be sent in time is sent late, and how late is noted.
"""

from __future__ import annotations

import gc
import math
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from lrn_deploy.load.plans import Plan

NO_CONNECTION = "no connection"
LOST = "connection lost"
NO_ANSWER = "no answer in time"
ANSWERED = ""
"""The outcome of a request that was answered as it should be."""
GONE_SECONDS = 2.0
"""A server that takes no connection for so long has gone."""
_TICK_SECONDS = 0.05
_AT_ONCE = 16  # that are sent before answers are looked for

Ended = tuple[int, float, str]
"""A request's ticket, when it ended by :func:`time.perf_counter`, and its outcome."""
Tell = Callable[[float, "Taken"], None]


class Sender(Protocol):
    """Sends requests without waiting for their answers.

    Attributes:
        most: Requests that may be under way at the same time.
    """

    most: int

    def send(self, ticket: int) -> None:
        """Send the request of this ticket."""

    def wait(self, seconds: float) -> Iterable[Ended]:
        """What has ended; waits so long if nothing has."""

    def abandon(self, ticket: int) -> None:
        """Nobody waits for this one any more."""

    def close(self) -> None:
        """Let go of all connections."""


@dataclass
class Taken:
    """What became of each request, by its ticket. Times are seconds since the run began.

    Attributes:
        due: When it was to be sent.
        sent: When it was.
        ended: When it ended; NaN if it has not.
        outcomes: :data:`ANSWERED`, or what went wrong.
        held: How many were sent late because as many as may be were under way.
        seconds: How long the run took, until the last one had ended.
        cpu_seconds: Processor time of this process meanwhile.
        stopped: When nothing more was sent, if that was before the plan's end; else None.
        gone: Whether it was because the server has gone.
        interrupted: Whether it was because of Ctrl-C.
    """

    due: array[float] = field(default_factory=lambda: array("d"))
    sent: array[float] = field(default_factory=lambda: array("d"))
    ended: array[float] = field(default_factory=lambda: array("d"))
    outcomes: list[str] = field(default_factory=list)
    held: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    stopped: float | None = None
    gone: bool = False
    interrupted: bool = False


def drive(
    sender: Sender,
    plan: Plan,
    *,
    timeout: float,
    tell: Tell = lambda _now, _taken: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Taken:
    """Send all that a plan has, and wait for the answers.

    Args:
        sender: What sends.
        plan: What is due when.
        timeout: Seconds after which an answer is not waited for any more.
        tell: Told how far it has come, some twenty times a second.
        clock: The sender's clock, in seconds.
    """
    run = _Run(sender, plan, timeout, tell, clock)
    cpu = time.process_time()
    collecting = gc.isenabled()
    gc.disable()  # a collection would send late what is due meanwhile
    try:
        run.go()
    except KeyboardInterrupt:
        run.stop()
        run.taken.interrupted = True
    finally:
        if collecting:
            gc.enable()
    run.taken.seconds = clock() - run.began
    run.taken.cpu_seconds = time.process_time() - cpu
    return run.taken


class _Run:
    def __init__(
        self, sender: Sender, plan: Plan, timeout: float, tell: Tell, clock: Callable[[], float]
    ) -> None:
        self.taken = Taken()
        self._sender = sender
        self._plan = plan
        self._timeout = timeout
        self._tell = tell
        self._clock = clock
        self._under_way: dict[int, float] = {}  # until when, the oldest first
        self._alive = 0.0  # when the server last answered
        self._refused = False  # whether it has refused a connection since
        self._full = -1.0  # when last something was due and as many as may be were under way
        self.began = clock()

    def go(self) -> None:
        next_tick = 0.0
        while True:
            now = self._send_due()
            due = self._plan.due()
            if due == math.inf and not self._under_way:
                return
            if now >= next_tick:
                next_tick = now + _TICK_SECONDS
                self._expire(now)
                self._tell(now, self.taken)
                if self._refused and now - self._alive > GONE_SECONDS:
                    self.taken.gone = True
                    self.stop()
                    return
            until = next_tick if len(self._under_way) >= self._sender.most else min(next_tick, due)
            for ended in self._sender.wait(max(0.0, until - now)):
                self._note(*ended)

    def stop(self) -> None:
        """End now; what has not been answered never is."""
        self.taken.stopped = self._clock() - self.began

    def _send_due(self) -> float:
        """Send what is due, but for a few at a time, so that answers are seen; returns the time."""
        taken, plan = self.taken, self._plan
        for _ in range(_AT_ONCE):
            now = self._clock() - self.began
            due = plan.due()
            if due > now:
                break
            if len(self._under_way) >= self._sender.most:
                self._full = now
                break
            plan.sent()
            ticket = len(taken.due)
            taken.due.append(due)
            taken.sent.append(now)
            taken.ended.append(math.nan)
            taken.outcomes.append(NO_ANSWER)
            taken.held += due <= self._full
            self._under_way[ticket] = now + self._timeout
            self._sender.send(ticket)
        return now

    def _note(self, ticket: int, moment: float, outcome: str) -> None:
        if self._under_way.pop(ticket, None) is None:
            return  # it was given up
        moment -= self.began
        self.taken.ended[ticket] = moment
        self.taken.outcomes[ticket] = outcome
        failed = outcome in (NO_CONNECTION, LOST)
        if failed:
            self._refused = self._refused or outcome == NO_CONNECTION
        else:
            self._alive, self._refused = moment, False
        self._plan.ended(moment, failed=failed)

    def _expire(self, now: float) -> None:
        """Give up what has waited too long."""
        while self._under_way:
            ticket, until = next(iter(self._under_way.items()))
            if until > now:
                return
            del self._under_way[ticket]
            self._sender.abandon(ticket)
            self.taken.ended[ticket] = now
            self._plan.ended(now, failed=False)

"""How a coroutine waits for what a batcher's thread finishes.

A thread that wakes an event loop pays for it each time, and then competes with it for the
interpreter. So what is finished goes into the loop's letter box, and the loop is woken once for a
batch, when all of it lies there.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from lrn_deploy.serving.batching.job import Outcome

_Waiter = asyncio.Future[Outcome]


async def outcome_of(future: Future[Outcome]) -> Outcome:
    """Wait for an outcome; a cancelled wait cancels the job."""
    loop = asyncio.get_running_loop()
    box = _BOXES.get(loop)
    if box is None:
        box = _BOXES[loop] = _LetterBox(loop)
    waiter: _Waiter = loop.create_future()
    future.add_done_callback(lambda done: box.post(waiter, done))
    try:
        return await waiter
    except asyncio.CancelledError:
        future.cancel()
        raise


@contextmanager
def together() -> Iterator[None]:
    """Wake each event loop once, at the end, for all futures that are finished in this block."""
    _HELD.boxes = []
    try:
        yield
    finally:
        boxes, _HELD.boxes = _HELD.boxes, None
        for box in boxes:
            box.wake()


class _Held(threading.local):
    boxes: list[_LetterBox] | None = None


class _LetterBox:
    """Finished jobs on their way from any thread to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: deque[tuple[_Waiter, Future[Outcome]]] = deque()
        self._called = False

    def post(self, waiter: _Waiter, done: Future[Outcome]) -> None:
        """Leave a finished job for its waiter; from any thread."""
        self._letters.append((waiter, done))
        if asyncio._get_running_loop() is self._loop:
            self._empty()
        elif not self._called:
            self._called = True
            if _HELD.boxes is None:
                self.wake()
            else:
                _HELD.boxes.append(self)

    def wake(self) -> None:
        """Have the loop look into the box."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._called = False  # first, so that nothing that comes from now on is left behind
        while self._letters:
            waiter, done = self._letters.popleft()
            if waiter.done():
                continue
            if done.cancelled():
                waiter.cancel()
            elif error := done.exception():
                waiter.set_exception(error)
            else:
                waiter.set_result(done.result())


_HELD = _Held()
_BOXES: WeakKeyDictionary[asyncio.AbstractEventLoop, _LetterBox] = WeakKeyDictionary()

"""The log's way out: stderr, which must never make an answer wait.

Who reads the log may stop reading, and then a pipe is full after 64 KiB, a terminal after Ctrl-S.
An ordinary write waits until it goes on, and the whole server with it. Here what cannot be written
at once is dropped and counted, and when there is room again, a line says how many are missing.
"""

from __future__ import annotations

import io
import json
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from typing import TextIO

_STDERR = 2
_LONGEST_LINE = 64 * 2**10
_OWN = f"/proc/self/fd/{_STDERR}"
Write = Callable[[bytes], int]


class Log(io.TextIOBase):
    """A text stream that drops what cannot be written at once. Thread-safe.

    Each write is one system call, as for an ordinary stream that ends its lines.

    Args:
        write: Writes what it can at once, and returns how many bytes that were; raises OSError if
            it could none.

    Attributes:
        dropped: Lines that were not written, in all.
    """

    encoding = "utf-8"

    def __init__(self, write: Write) -> None:
        self.dropped = 0
        self._told = 0
        self._begun = b""
        self._rest = b""
        self._write = write
        self._lock = threading.Lock()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Where C code writes to."""
        return _STDERR

    def write(self, text: str, /) -> int:
        """Write lines, or drop them; never waits, never raises an OSError.

        What does not end a line waits for its end, or for :meth:`flush`.
        """
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._begun:
                data = self._begun + data
            if data.endswith(b"\n") or len(data) > _LONGEST_LINE:
                self._begun = b""
                self._write_or_drop(data)
            else:
                self._begun = data
        return len(text)

    def flush(self) -> None:
        """Write a line whose end has not come."""
        if self._begun:
            with self._lock:
                data, self._begun = self._begun, b""
                self._write_or_drop(data)

    def catch_up(self) -> None:
        """Write what is owed: the end of a line that was begun, and how many were dropped."""
        if self._rest or self.dropped > self._told:
            with self._lock:
                self._go_on()

    def _write_or_drop(self, data: bytes) -> None:
        if data and not (self._go_on() and self._put(data)):
            self.dropped += max(1, data.count(b"\n"))

    def _go_on(self) -> bool:
        """Whether nothing is owed any more, so that a further line may follow."""
        if self._rest:
            rest, self._rest = self._rest, b""
            if not self._put(rest):
                self._rest = rest
            if self._rest:
                return False
        missing = self.dropped - self._told
        if missing:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            note = json.dumps({"time": now, "dropped": missing, "error": _note(missing)})
            if not self._put(note.encode() + b"\n"):
                return False
            self._told += missing
        return not self._rest

    def _put(self, data: bytes) -> bool:
        """Write ``data``; what is left of it once it was begun is kept, so that no line is torn."""
        try:
            count = self._write(data)
        except OSError:  # full, or nobody is there any more
            return False
        self._rest = data[count:]
        return True


def _note(missing: int) -> str:
    lines = "1 line of the log was" if missing == 1 else f"{missing} lines of the log were"
    return f"{lines} dropped, because nobody read it."


def dropped() -> int:
    """Lines that this process has dropped; 0 while its stderr is an ordinary one."""
    return sys.stderr.dropped if isinstance(sys.stderr, Log) else 0


def catch_up() -> None:
    """Say how many lines were dropped, if that has not been said and there is room now."""
    if isinstance(sys.stderr, Log):
        sys.stderr.catch_up()


@contextmanager
def never_waiting() -> Iterator[None]:
    """Make stderr a :class:`Log` for as long as the block takes.

    Only the stream that this process has is changed: a flag set on it would be set for all who
    share it, such as the shell. A stderr that someone has put another stream in place of is left
    alone.
    """
    with ExitStack() as stack:
        if sys.stderr is None:  # it is closed, and its number may be another file's
            stack.enter_context(redirect_stderr(Log(_to_nobody)))
        elif _is_stderr(sys.stderr):
            saved = os.dup(_STDERR)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, _STDERR)
            stack.enter_context(redirect_stderr(Log(_writer(stack))))
            stack.callback(catch_up)
        yield


def _is_stderr(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _STDERR
    except (OSError, ValueError):  # it is in memory, or closed
        return False


def _writer(stack: ExitStack) -> Write:
    """What writes to stderr without waiting, by what kind of file it is."""
    kind = os.fstat(_STDERR).st_mode
    if stat.S_ISSOCK(kind):  # systemd's journal
        connection = stack.enter_context(socket.socket(fileno=os.dup(_STDERR)))
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        return lambda data: connection.send(data, flags)
    if stat.S_ISFIFO(kind) or os.isatty(_STDERR):
        try:
            own = os.open(_OWN, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:  # one that another user opened
            return _if_there_is_room
        os.dup2(own, _STDERR)  # what C code writes does not wait either
        os.close(own)
    return _at_once  # a file takes all


def _at_once(data: bytes) -> int:
    return os.write(_STDERR, data)


def _if_there_is_room(data: bytes) -> int:
    """Write as much as a pipe takes for sure if it says that it has room."""
    if not select.select([], [_STDERR], [], 0)[1]:
        raise BlockingIOError
    return os.write(_STDERR, data[: select.PIPE_BUF])


def _to_nobody(_data: bytes) -> int:
    raise BrokenPipeError

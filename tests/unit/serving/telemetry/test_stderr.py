"""A log that nobody reads: what is dropped, what is told, and that no line is torn."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.serving.telemetry import stderr
from lrn_deploy.serving.telemetry.stderr import Log


class Pipe:
    """A pipe of so many bytes, which are there once it is read."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.content = b""

    def write(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.content += taken
        return len(taken)


def test_what_does_not_fit_is_dropped_and_told_when_there_is_room_again() -> None:
    pipe = Pipe(12)
    log = Log(pipe.write)
    for number in range(5):
        log.write(f"line {number}\n")  # the second is begun, the others do not fit
    assert (pipe.content, log.dropped) == (b"line 0\nline ", 3)
    log.catch_up()
    assert pipe.content == b"line 0\nline "
    pipe.room = 1000
    log.write("line 5\n")
    first, second, note, last = pipe.content.splitlines()
    assert [first, second, last] == [b"line 0", b"line 1", b"line 5"]
    told = json.loads(note)
    assert told["dropped"] == 3
    assert told["error"] == "3 lines of the log were dropped, because nobody read it."
    pipe.room = 0
    log.write("lost\n")
    pipe.room = 1000
    log.catch_up()
    log.catch_up()  # told once
    assert json.loads(pipe.content.splitlines()[-1])["dropped"] == 1
    assert len(pipe.content.splitlines()) == 5
    assert log.dropped == 4


def test_no_line_is_torn_however_little_room_there_is() -> None:
    for room in range(0, 300, 7):
        pipe = Pipe(room)
        log = Log(pipe.write)
        for number in range(30):
            log.write(json.dumps({"number": number}) + "\n")
            pipe.room += number % 9
        pipe.room = 10_000
        log.catch_up()
        lines = [json.loads(line) for line in pipe.content.decode().splitlines()]
        written = [line["number"] for line in lines if "number" in line]
        assert written == sorted(written), room
        missing = sum(line.get("dropped", 0) for line in lines)
        assert missing == log.dropped == 30 - len(written), room


def test_a_line_in_pieces_is_one_line() -> None:
    pipe = Pipe(1000)
    log = Log(pipe.write)
    print("one", "two", file=log)
    log.write("begun")
    assert pipe.content == b"one two\n"
    log.flush()
    log.flush()
    assert pipe.content == b"one two\nbegun"
    pipe.room = 0
    log.write("three\nlines\nat once\n")
    assert log.dropped == 3


PROGRAM = """
import sys
from lrn_deploy.serving.telemetry.stderr import catch_up, dropped, never_waiting
with never_waiting():
    for number in range(2000):
        sys.stderr.write("x" * 99 + chr(10))
    print(dropped(), flush=True)
    sys.stdin.readline()
    catch_up()
    print(dropped(), flush=True)
    sys.stdin.readline()
sys.stderr.write("as before" + chr(10))
"""


def start(error: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=error,
        text=True,
    )


def tell(process: subprocess.Popen[str]) -> int:
    """The number that the program says next; it must not hang before."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 20)[0]
    return int(process.stdout.readline())


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_pipe_that_nobody_reads() -> None:
    read, write = os.pipe()
    with start(write) as process:
        missing = tell(process)
        assert missing > 1000
        assert os.get_blocking(write)  # for all others that it is shared with
        os.close(write)
        content = os.read(read, 1 << 20)
        go_on(process)
        assert tell(process) == missing
        go_on(process)
        content += b"".join(iter(lambda: os.read(read, 1 << 20), b""))
        lines = content.decode().splitlines()
    os.close(read)
    assert set(lines[:-2]) == {"x" * 99}
    assert json.loads(lines[-2])["dropped"] == missing == 2000 - len(lines[:-2])
    assert lines[-1] == "as before"


def test_a_socket_that_nobody_reads() -> None:
    ours, theirs = socket.socketpair()
    with ours, start(theirs) as process:
        missing = tell(process)
        assert missing > 0
        assert theirs.getblocking()
        theirs.close()
        ours.settimeout(20)
        content = b""
        while content.count(b"\n") < 2000 - missing:
            content += ours.recv(1 << 20)
        go_on(process)
        assert tell(process) == missing
        go_on(process)
        content += b"".join(iter(lambda: ours.recv(1 << 20), b""))
    lines = content.decode().splitlines()
    assert json.loads(lines[-2])["dropped"] == missing


def test_a_terminal_that_is_stopped() -> None:
    ours, theirs = pty.openpty()
    termios.tcflow(theirs, termios.TCOOFF)  # Ctrl-S
    with start(theirs) as process:
        assert tell(process) > 1000
        go_on(process)
        assert tell(process) > 1000
        process.kill()
    os.close(theirs)
    os.close(ours)


def test_a_reader_that_has_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    with start(write) as process:
        os.close(write)
        assert tell(process) == 2000
        process.kill()


def test_a_file_takes_everything(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, start(file) as process:
        assert tell(process) == 0
        go_on(process)
        assert tell(process) == 0
        go_on(process)
        assert process.wait(20) == 0
    assert (tmp_path / "log").read_text().splitlines() == ["x" * 99] * 2000 + ["as before"]


def test_a_pipe_that_cannot_be_opened_again_is_asked_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(stderr, "_STDERR", write)
    log = Log(stderr._if_there_is_room)
    for _ in range(2000):
        log.write("x" * 99 + "\n")
    assert log.dropped > 1000
    content = os.read(read, 1 << 20)
    log.catch_up()
    os.close(write)
    content += b"".join(iter(lambda: os.read(read, 1 << 20), b""))
    os.close(read)
    assert json.loads(content.splitlines()[-1])["dropped"] == log.dropped


def test_a_stream_in_its_place_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with stderr.never_waiting():
        sys.stderr.write("seen\n")
    assert capsys.readouterr().err == "seen\n"
    assert stderr.dropped() == 0

"""The log of a real server whose reader has stopped reading: nobody waits for it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.image_bundles import colour_bundle
from tests.support.servers import START, ask
from tests.support.warm import Warmed

REFUSED = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
MANY = 10_000


@contextmanager
def unread(folder: Path, log: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server that writes its log into a pipe, and its port. The pipe's end is closed here."""
    colour_bundle(folder)
    options = ("--threads", "1", "--http-port", "0", "--grpc-port", "-1", "--json")
    with Warmed(
        [*START, str(folder), *options], stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:
        os.close(log)
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("}\n"):
                line = process.stdout.readline()
                assert line, "the server ended"
                text += line
            yield process, json.loads(text)["http_port"]
        finally:
            process.kill()


def test_a_log_that_nobody_reads_keeps_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # of so many requests
    read, write = os.pipe()
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(iter(lambda: os.read(read, 1 << 16), b"")))
    with unread(tmp_path / "colours", write) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.connect()
        times = []
        # In blocks, so that the test is quick; between them, what one request alone waits.
        for _ in range(MANY // 100):
            connection.sock.sendall(REFUSED * 99)
            answers = b""
            while answers.count(b"HTTP/1.1 404") < 99 or not answers.endswith(b"}"):
                answers += connection.sock.recv(1 << 20)
            started = time.perf_counter()
            reply = ask(connection, "GET", "/nothing")
            times.append(time.perf_counter() - started)
            assert reply.status == 404
        assert max(times) < 0.05, sorted(times)[-5:]

        metrics = ask(connection, "GET", "/metrics").body.decode()
        found = re.search(r"^lrn_log_lines_dropped (\d+)$", metrics, re.MULTILINE)
        assert found is not None
        missing = int(found[1])
        assert 0.9 * MANY < missing < MANY

        reader.start()
        until = time.monotonic() + 10
        while b'"dropped"' not in b"".join(said) and time.monotonic() < until:
            time.sleep(0.05)
        ask(connection, "GET", "/something-else")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        connection.close()
    reader.join(10)
    os.close(read)
    text = [line for line in b"".join(said).decode().splitlines() if line.startswith("{")]
    entries = [json.loads(line) for line in text]  # none is torn
    assert [entry["dropped"] for entry in entries if "dropped" in entry] == [missing]
    assert sum(entry.get("path") == "/nothing" for entry in entries) == MANY - missing
    assert entries[-1]["path"] == "/something-else"


def test_a_server_starts_and_ends_although_its_log_is_full(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    size = 0
    while size % 4096 == 0:  # to the last byte
        try:
            size += os.write(write, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write, True)
    with unread(tmp_path / "colours", write) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    os.close(read)

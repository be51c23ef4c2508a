"""What runs out on the machine, and what is stopped or swapped while others are being answered."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from benchmarks.usage import usage
from tests.support.colours import (
    INFER,
    SCORES,
    answers,
    eventually,
    is_red,
    red_json,
    red_message,
)
from tests.support.image_bundles import SURE, colour_bundle, picture
from tests.support.servers import START, Running, ask, serving

IDLE = 10_000
BACKLOG = 500
"""Connections that may wait to be accepted; the server's own is larger."""
SPARE = 500
"""Files that a process has beside its connections."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("colours") / "colours"
    colour_bundle(path)
    return path


@contextmanager
def many_files() -> Iterator[None]:
    """Let this process have as many files open as the test needs; the server sees to itself."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < IDLE + SPARE:
        pytest.skip(f"a process may have {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + SPARE), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_ten_thousand_idle_connections_keep_nobody_waiting(bundle: Path) -> None:
    options = ("--threads", "1", "--access-log", "none")
    with (
        many_files(),
        serving(bundle, *options, measured=False) as running,
        ExitStack() as stack,
    ):
        pid = running.process.pid
        files = usage(pid).files
        assert answers(running)
        assert eventually(lambda: usage(pid).files <= files)
        before = usage(pid)
        idle = [stack.enter_context(socket.socket()) for _ in range(IDLE)]
        for number, one in enumerate(idle):  # of 500 peers: what one may open is another limit
            one.bind((f"127.0.{1 + number // 5000}.{1 + number % 250}", 0))
            one.connect(("127.0.0.1", running.ports["http_port"]))
            if number % BACKLOG == BACKLOG - 1:  # the kernel drops who comes when its queue is full
                there = files + number + 1
                assert eventually(lambda there=there: usage(pid).files >= there)

        times = []
        for _ in range(50):
            asked = time.monotonic()
            assert answers(running)
            times.append(time.monotonic() - asked)
        assert sorted(times)[25] < 0.1, sorted(times)
        held = usage(pid)
        assert (held.resident - before.resident) / IDLE < 16 * 2**10
        assert held.threads <= before.threads
        for one in idle[::1000]:  # and each of them is as good as a new one
            one.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(4096).startswith(b"HTTP/1.1 200 OK")

        for one in idle:
            one.close()
        assert eventually(lambda: usage(pid).files <= files, 20)
        assert answers(running)


def logged(running: Running) -> list[Any]:
    """The lines that it has ended, but for those for people; none of them is torn."""
    lines = running.said().split("\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith("{")]


def dropped(running: Running) -> int:
    text = running.call("GET", "/metrics").body.decode()
    found = re.search(r"^lrn_log_lines_dropped (\d+)$", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_a_disk_that_is_full_for_a_while_costs_lines_of_the_log_and_nothing_else(
    bundle: Path,
) -> None:
    with serving(bundle, "--threads", "1", "--access-log", "errors") as running:
        pid, size = running.process.pid, resource.RLIMIT_FSIZE

        def refuse(count: int) -> None:
            for _ in range(count):
                assert running.call("GET", "/nothing").status == 404

        refuse(1)
        assert eventually(lambda: len(logged(running)) == 1)
        before = resource.prlimit(pid, size)
        # Room for half a line. A limit of a file's size fails as a full disk does: in mid-write.
        room = len(running.said().encode()) + 60
        resource.prlimit(pid, size, (room, before[1]))
        refuse(20)
        assert all(answers(running) for _ in range(20))
        assert len(running.said().encode()) == room
        assert dropped(running) == 19  # the first is begun

        resource.prlimit(pid, size, before)
        assert eventually(lambda: len(logged(running)) == 3)  # ended, and told how many are missing
        refuse(1)
        assert eventually(lambda: len(logged(running)) == 4)
        assert [entry.get("dropped") for entry in logged(running)] == [None, None, 19, None]
        assert dropped(running) == 19
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0


def test_a_server_lives_with_a_disk_that_is_full_from_the_start(bundle: Path) -> None:
    redirected = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2); "
    onto_a_full_disk = [*START[:2], redirected + START[2]]
    options = ("--threads", "1", "--access-log", "all")
    with serving(bundle, *options, start=onto_a_full_disk) as running:
        assert all(answers(running) for _ in range(5))
        assert running.call("GET", "/nothing").status == 404
        assert dropped(running) >= 6
        running.process.send_signal(signal.SIGTERM)
        assert running.finish() == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_sigterm_loses_no_request_whose_body_is_on_its_way(bundle: Path, chunked: bool) -> None:
    body = red_json()
    extent = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\n{extent}\r\n\r\n"
    first, second = head.encode() + body[:500], body[500:]
    if chunked:
        first = head.encode() + b"%x\r\n%b" % (len(body), body[:500])
        second = body[500:] + b"\r\n0\r\n\r\n"
    with serving(bundle, "--threads", "1", "--access-log", "none") as running:
        assert answers(running)
        with socket.create_connection(("127.0.0.1", running.ports["http_port"]), 10) as slow:
            slow.sendall(first)
            assert answers(running)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.6)  # as a photograph from a telephone takes; nothing else keeps it
            assert running.process.poll() is None
            slow.sendall(second)
            answer = b"".join(iter(lambda: slow.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["outputs"][0]["data"] == SCORES
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert running.finish(5) == 0
        assert "Traceback" not in running.said()


def test_sigterm_waits_for_no_body_longer_than_it_may_drain(bundle: Path) -> None:
    options = ("--threads", "1", "--access-log", "none", "--drain-seconds", "0.5")
    with (
        serving(bundle, *options) as running,
        socket.create_connection(("127.0.0.1", running.ports["http_port"]), 10) as never,
    ):
        never.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\n" % INFER.encode())
        never.sendall(b"Content-Length: 500\r\n\r\n{")
        assert answers(running)
        running.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert running.finish(10) == 1
        assert time.monotonic() - started > 0.5


def by_http(running: Running, once: Callable[[Callable[[], bool]], None]) -> None:
    connection = running.connect()
    once(lambda: is_red(ask(connection, "POST", INFER, red_json())))
    connection.close()


def by_image(running: Running, once: Callable[[Callable[[], bool]], None]) -> None:
    connection, image = running.connect(), picture("red")

    def right() -> bool:
        reply = ask(connection, "POST", "/v1/classify?model=colours&top=1", image)
        if reply.status != 200:
            return False
        (best,) = reply.content["results"][0]["predictions"]
        return bool(best["label"] == "red" and abs(best["probability"] - SURE) < 1e-6)

    once(right)
    connection.close()


def by_grpc(running: Running, once: Callable[[Callable[[], bool]], None]) -> None:
    with grpc.insecure_channel(running.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        expected = np.float32(SCORES).tobytes()
        once(lambda: stub.ModelInfer(red_message()).raw_output_contents[0] == expected)


def test_reloading_and_unloading_others_under_load_loses_no_request(
    bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    colour_bundle(other)
    right: Counter[str] = Counter()
    wrong: list[object] = []
    stop = threading.Event()
    with serving(
        *(bundle, f"other={other}", "--model-control", "--threads", "1", "--access-log", "none")
    ) as running:

        def ask_on(by: Any) -> None:
            def once(one: Callable[[], bool]) -> None:
                while not stop.is_set():
                    if not one():
                        wrong.append(by)
                    right[by.__name__] += 1

            try:
                by(running, once)
            except Exception as error:  # nothing that is lost may be overlooked
                wrong.append(error)

        callers = [threading.Thread(target=ask_on, args=(by,)) for by in (by_http, by_image) * 2]
        callers += [threading.Thread(target=ask_on, args=(by_grpc,)) for _ in range(2)]
        for caller in callers:
            caller.start()
        for turn in range(8):
            name = ("colours", "other")[turn % 2]
            for act in ("load", "unload", "load")[: 1 if name == "colours" else 3]:
                path = f"/v2/repository/models/{name}/{act}"
                assert running.call("POST", path).status == 200
        stop.set()
        for caller in callers:
            caller.join(20)
    assert wrong == []
    assert min(right[by] for by in ("by_http", "by_image", "by_grpc")) > 10, right

"""What a server is asked meanwhile: tensors and images, by HTTP and gRPC, right and wrong."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from benchmarks.fuzz_server import known, verdict
from benchmarks.fuzz_server.grpc_tries import SERVICE
from benchmarks.fuzz_server.known import INFER, LABEL, Asked
from benchmarks.fuzz_server.wire import Line
from benchmarks.load import Load, drive

CALLERS = 2
"""That call by gRPC at the same time."""
LEAVE_SECONDS = 0.1
"""Between two clients that leave half way."""


@dataclass
class Asking:
    """What became of the requests.

    Attributes:
        http: By HTTP.
        calls: By gRPC: how often there was which status; ``wrong`` for an answer that is not right.
        left: Clients that left half way.
        seconds: How long it went on.
    """

    http: Load
    calls: Counter[str] = field(default_factory=Counter)
    left: int = 0
    seconds: float = 0.0

    @property
    def rates(self) -> tuple[float, float]:
        """Requests a second that were answered, refusals included, by HTTP and by gRPC."""
        asked = self.http.statuses.total() - self.http.statuses[0]
        return asked / self.http.seconds, self.calls.total() / self.seconds

    @property
    def faults(self) -> dict[str, int]:
        """What should not have been, by what it is."""
        unlike = {f"HTTP {status}": count for status, count in self.http.statuses.items()}
        unlike |= {f"gRPC {status}": count for status, count in self.calls.items()}
        fine = {*(f"HTTP {status}" for status in (200, 400, 404, 413, 503)), "gRPC OK"}
        fine |= {"gRPC NOT_FOUND", "gRPC UNAVAILABLE"}
        found = {what: count for what, count in unlike.items() if what not in fine}
        return found | ({"wrong by HTTP": self.http.wrong} if self.http.wrong else {})


def requests() -> list[Asked]:
    """What is asked by HTTP, one after the other: each form, twice, and the ways to be refused."""
    good = known.known()
    text = json.dumps(known.as_json())
    bad = [
        Asked("/v2/models/nothing/infer", b"{}"),
        Asked(INFER, text.replace("FP32", "FP16").encode()),
        Asked(INFER, b"[" * 5000),
        Asked(known.CLASSIFY, b"no image"),
        Asked("/nothing", method="GET"),
    ]
    return [*good, *bad, *good, Asked(f"/v2/models/{known.MODEL}", method="GET")]


_TOO_LARGE = Asked(INFER).head("Content-Length: 9999999999999")
"""Refused when its head is there, and the end of its connection."""


def mixture(
    ports: tuple[int, int],
    *,
    seconds: float,
    connections: int,
    per_second: tuple[float, float] = (0.0, 0.0),
) -> Asking:
    """Ask for so long.

    Args:
        ports: Of HTTP and of gRPC, on this machine.
        seconds: How long.
        connections: How many ask by HTTP at the same time.
        per_second: Requests a second by HTTP and by gRPC, at random distances; 0: each asks again
            as soon as it is answered.
    """
    asked = requests()
    checks: list[Callable[[bytes], bool]] = [
        *(_check(ports[0], one) for one in asked),
        lambda _: False,
    ]
    data = [*(one.bytes() for one in asked), _TOO_LARGE]
    found = Asking(Load())
    stop = threading.Event()
    started = time.monotonic()
    threads = [threading.Thread(target=_leave, args=(ports[0], stop, found))]
    for number in range(CALLERS):
        pace = per_second[1] / CALLERS
        threads.append(threading.Thread(target=_call, args=(ports[1], pace, number, stop, found)))
    for thread in threads:
        thread.start()
    try:
        found.http = drive(
            ports[0],
            data,
            connections=connections,
            seconds=seconds,
            per_second=per_second[0],
            right=lambda index, body: checks[index](body),
        )
    finally:
        found.seconds = time.monotonic() - started
        stop.set()
        for thread in threads:
            thread.join()
    return found


def _check(port: int, asked: Asked) -> Callable[[bytes], bool]:
    """What tells whether a body is the right answer, by one that is known to be."""
    line = Line(port)
    (answer,), _ = line.ask(asked.bytes())
    line.close()
    if asked.path != INFER or answer.status != 200:
        if asked.path == known.CLASSIFY:
            return lambda body: json.loads(body)["results"][0]["predictions"][0]["label"] == LABEL
        return lambda body: body == answer.body
    if not verdict.right(asked, answer):
        raise ValueError(f"a wrong answer before anything was asked of it: {answer}")
    return lambda body: body == answer.body


_lock = threading.Lock()


def _call(port: int, pace: float, number: int, stop: threading.Event, found: Asking) -> None:
    """Call by gRPC; every tenth call is for a model that is not there."""
    rng = random.Random(number)
    right, unknown = known.message(), service_pb2.ModelInferRequest(model_name="nothing")
    messages = [right.SerializeToString()] * 9 + [unknown.SerializeToString()]
    options = [("grpc.use_local_subchannel_pool", 1)]
    own: Counter[str] = Counter()
    due = time.monotonic()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call: Any = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        while not stop.is_set():
            if pace:
                due += rng.expovariate(pace)
                if stop.wait(max(0.0, due - time.monotonic())):
                    break
            try:
                answer = call(messages[own.total() % len(messages)], timeout=60)
            except grpc.RpcError as error:
                own[error.code().name] += 1
            else:
                own["OK" if verdict.right_message(answer) else "wrong"] += 1
    with _lock:
        found.calls += own


def _leave(port: int, stop: threading.Event, found: Asking) -> None:
    """Connect, send part of a request, and leave, again and again."""
    whole = Asked(INFER, json.dumps(known.as_json()).encode()).bytes()
    while not stop.wait(LEAVE_SECONDS):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(whole[: (30, 300)[found.left % 2]])
        found.left += 1

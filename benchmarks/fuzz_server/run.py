"""Tries sent to a server, one after the other, and what came of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc

from benchmarks.fuzz_server import known, verdict
from benchmarks.fuzz_server.grpc_tries import SERVICE, grpc_try
from benchmarks.fuzz_server.http_tries import Try, http_try
from benchmarks.fuzz_server.wire import Answer, HungError, Line, alone
from benchmarks.usage import Usage

EVERY = 50
"""Tries between two known requests."""
SLOW = 5.0
"""Seconds after which an answer counts as wrong."""
GROWTH = 20 * 2**20
"""Bytes that a server may grow by."""
POOLS = 8
"""Threads by which its pools may still grow when it is warm: they make one when none is free."""
_KEPT = 100
"""Wrong answers that are kept, with what was asked."""
_CODES = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"),
    *("UNAVAILABLE", "PERMISSION_DENIED", "UNAUTHENTICATED"),
}


@dataclass(frozen=True)
class Target:
    """A server.

    Attributes:
        http_port: Where it answers HTTP, on this machine.
        grpc_port: Where it answers gRPC; 0: nowhere.
        usage: What it holds now.
    """

    http_port: int
    grpc_port: int
    usage: Callable[[], Usage]


@dataclass
class Tally:
    """What came of tries.

    Attributes:
        counts: By kind and by what was answered, how often.
        wrong: What must not be: number, kind, and what.
        wrongs: How often there was such.
        known: Known requests that were answered rightly.
        memory: The server's, at each known request, in bytes.
        slowest: Seconds.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    wrongs: int = 0
    known: int = 0
    memory: list[int] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, number: int, kind: str, told: str, faults: Iterable[str], seconds: float) -> None:
        """A try was answered."""
        self.counts.setdefault(kind, Counter())[told] += 1
        self.slowest = max(self.slowest, seconds)
        late = [f"{seconds:.1f} s"] if seconds > SLOW else []
        for what in (*filter(None, faults), *late):
            self.wrongs += 1
            if len(self.wrong) < _KEPT:
                self.wrong.append({"number": number, "kind": kind, "what": what[:600]})


def checks(tally: Tally, before: Usage, after: Usage) -> dict[str, tuple[bool, object]]:
    """What must hold, by its name: whether it does, and what was found.

    Args:
        tally: What came of the tries.
        before: What the server held when it was warm.
        after: What it holds at the end.
    """
    asked = tally.counts["known"].total()
    growth = after.resident - before.resident
    return {
        "nothing wrong": (not tally.wrongs, tally.wrongs),
        "every known answer right": (0 < tally.known == asked, f"{tally.known} of {asked}"),
        "no more memory than 20 MiB": (growth <= GROWTH, f"{growth / 2**20:.1f} MiB"),
        "no file left open": (after.files <= before.files, after.files - before.files),
        "no thread left": (after.threads - before.threads <= POOLS, after.threads - before.threads),
    }


def fuzz_http(target: Target, seed: int, numbers: Iterable[int], tally: Tally) -> None:
    """Send these tries by HTTP, and in between all that is known."""
    line, sound = Line(target.http_port), Line(target.http_port)
    requests = known.known()
    data = [asked.bytes() for asked in requests]
    for turn, number in enumerate(numbers):
        if turn % EVERY == 0:
            which = turn // EVERY % len(requests)
            _ask_known(target, sound, requests[which], data[which], tally)
        one = http_try(seed, number)
        started = time.monotonic()
        told, faults = http_outcome(target.http_port, line, one)
        tally.add(number, one.kind, told, faults, time.monotonic() - started)
    for asked, whole in zip(requests, data, strict=True):
        _ask_known(target, sound, asked, whole, tally)
    line.close()
    sound.close()


def http_outcome(port: int, line: Line, one: Try) -> tuple[str, list[str]]:
    """Send one try; returns the statuses of its answers, and what is wrong with them."""
    try:
        answers, rest = line.ask(one.data) if one.asked else alone(port, one.data)
    except HungError:
        return "hung", ["hung"]
    except OSError as error:
        return "no connection", [repr(error)]
    told = " ".join(sorted({str(answer.status) for answer in answers})) or "closed"
    faults = [verdict.fault(answer) for answer in answers]
    if rest:
        faults.append(f"no answer: {rest[:100]!r}")
    if one.asked is not None:
        if len(answers) != 1:
            faults.append(f"{len(answers)} answers")
        faults += [verdict.wrong(one.asked, answer) for answer in answers]
    return told, faults


def _ask_known(target: Target, line: Line, asked: known.Asked, data: bytes, tally: Tally) -> None:
    started = time.monotonic()
    answers: list[Answer] = []
    try:
        answers, _ = line.ask(data)
    except (HungError, OSError):
        line.close()
    good = len(answers) == 1 and verdict.right(asked, answers[0])
    _count_known(target, good, f"HTTP {[answer.status for answer in answers]}", started, tally)


def fuzz_grpc(target: Target, seed: int, numbers: Iterable[int], tally: Tally) -> None:
    """The same by gRPC."""
    message = known.message().SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel:
        for turn, number in enumerate(numbers):
            if turn % EVERY == 0:
                started = time.monotonic()
                code, said, content = _call(channel, f"/{SERVICE}/ModelInfer", message)
                good = code == "OK" and verdict.right_message(content)
                _count_known(target, good, f"gRPC {code} {said}", started, tally)
            one = grpc_try(seed, number)
            started = time.monotonic()
            code, said, content = _call(channel, one.path, one.data)
            faults = [] if code in _CODES else [f"{code}: {said}"]
            if code not in ("OK", "RESOURCE_EXHAUSTED") and "[request " not in said:
                faults.append(f"no request id: {said}")
            if code == "OK" and one.infers:
                faults.append(verdict.wrong_message(one.data, content))
            tally.add(number, f"gRPC {one.kind}", code, faults, time.monotonic() - started)


def _call(channel: Any, path: str, data: bytes) -> tuple[str, str, bytes]:
    """Call a method with bytes; returns the status, what it says, and the answer's bytes."""
    try:
        return "OK", "", channel.unary_unary(path)(data, timeout=2 * SLOW)
    except grpc.RpcError as error:
        return error.code().name, error.details() or "", b""


def _count_known(target: Target, good: bool, told: str, started: float, tally: Tally) -> None:
    tally.known += good
    faults = [] if good else [f"a known request was told {told}"]
    tally.add(-1, "known", "right" if good else "wrong", faults, time.monotonic() - started)
    tally.memory.append(target.usage().resident)

"""Load for servers: requests that are ready as bytes, over plain sockets, one thread for each.

The same for every server, and cheap: its own processor time is told, since it shares the machine
with what it measures.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Right = Callable[[int, bytes], bool]
"""Whether a body is the right answer to the request of this index."""
LEAD_SECONDS = 0.5
"""Until then connections are opened, caches are cold, and the first batches are not full."""


@dataclass
class Load:
    """What became of the requests.

    Attributes:
        seconds: How long it went on.
        cpu_seconds: Processor time of this process meanwhile.
        statuses: How often there was which HTTP status; 0: no answer, or none that could be read.
        wrong: Answers with status 200 that were not right.
        latencies: Seconds of each request with status 200, in no order.
        moments: Seconds from the start to each right answer, in no order.
        steady_cpu_share: Processor time of this process in a second, from :data:`LEAD_SECONDS` on
            until no more was asked.
        unclear: Refusals that do not say why, as ``{"error": …}``.
        longest_refusal: Seconds of the slowest refusal.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    latencies: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    steady_cpu_share: float = 0.0
    unclear: int = 0
    longest_refusal: float = 0.0

    @property
    def per_second(self) -> float:
        """Right answers in a second."""
        return (self.statuses[200] - self.wrong) / self.seconds

    def steady_per_second(self, seconds: float) -> float:
        """Right answers in a second from :data:`LEAD_SECONDS` on until so many seconds were over.

        Slope of the least-squares line through their numbers over their moments: answers come in
        whole batches, and a count between two moments would depend on how many ends fall between.
        """
        moments = np.sort(self.moments)
        (steady,) = np.nonzero((moments >= LEAD_SECONDS) & (moments <= seconds))
        return float(np.polyfit(moments[steady], steady, 1)[0]) if len(steady) > 1 else float("nan")

    def quantile(self, percent: float) -> float:
        """Seconds within which so many of the answers came."""
        return float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A POST request as bytes; a ``_`` in a header's name stands for ``-``."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def infer(model: str, name: str, rows: NDArray[Any]) -> bytes:
    """An inference request of the protocol, binary both ways."""
    datatype = {"float32": "FP32", "uint8": "UINT8"}[rows.dtype.name]
    content = rows.tobytes()
    tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(rows.shape)}
    tensor["parameters"] = {"binary_data_size": len(content)}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return post(
        f"/v2/models/{model}/infer",
        head + content,
        Inference_Header_Content_Length=str(len(head)),
    )


def only_right(expected: NDArray[Any], tolerance: float) -> Right:
    """An answer is right if it is the row of its own request and of no other.

    Batches of other sizes may round differently, so it is compared with a tolerance that is a
    small part of the distance to the nearest other row.

    Args:
        expected: The answers, one row for each request; an answer's body ends with its row.
        tolerance: L2 distance that it may have, as a part of the row's own length.

    Raises:
        ValueError: If two rows are too much alike to be told apart.
    """
    width = expected[0].nbytes
    limits = tolerance * np.linalg.norm(expected, axis=1)
    between = np.linalg.norm(expected[:, None] - expected[None], axis=-1)
    np.fill_diagonal(between, np.inf)
    if (between < 10 * limits[:, None]).any():
        raise ValueError("two requests have almost the same answers; nothing could be told by them")

    def right(index: int, body: bytes) -> bool:
        scores = np.frombuffer(body[-width:], expected.dtype)
        return bool(np.linalg.norm(scores - expected[index]) <= limits[index])

    return right


def drive(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    per_second: float = 0.0,
    seed: int = 3,
    right: Right = lambda _index, _body: True,
) -> Load:
    """Ask for so long, each connection in a thread of its own.

    Args:
        port: Of the server, on this machine.
        requests: Whole HTTP requests; each connection goes through them in turn.
        connections: How many ask at the same time.
        seconds: How long.
        per_second: Requests in a second, whatever becomes of them, at exponentially distributed
            distances; their latencies count from when they were due. 0: each connection asks again
            as soon as it is answered.
        seed: Of those distances.
        right: Checks the answers.
    """
    load = Load()
    lock = threading.Lock()
    started = time.monotonic()
    arrivals = _arrivals(per_second, seconds, started, seed)
    cpu = time.process_time()

    def ask(index: int) -> None:
        connection = _Connection(port)
        own = Load()
        number = index
        while True:
            if arrivals is None:
                due = time.monotonic()
                if due >= started + seconds:
                    break
            else:
                with lock:
                    due = next(arrivals, 0.0)
                if not due:
                    break
                time.sleep(max(0.0, due - time.monotonic()))
            which = number % len(requests)
            number += 1
            status, body = connection.ask(requests[which])
            now = time.monotonic()
            took = now - due
            own.statuses[status] += 1
            if status == 200:
                own.latencies.append(took)
                if right(which, body):
                    own.moments.append(now - started)
                else:
                    own.wrong += 1
            elif status == 503:
                own.unclear += b'"error": "' not in body
                own.longest_refusal = max(own.longest_refusal, took)
        connection.close()
        with lock:
            load.statuses += own.statuses
            load.wrong += own.wrong
            load.unclear += own.unclear
            load.latencies += own.latencies
            load.moments += own.moments
            load.longest_refusal = max(load.longest_refusal, own.longest_refusal)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(connections)]
    for thread in threads:
        thread.start()
    if seconds > LEAD_SECONDS:
        time.sleep(max(0.0, started + LEAD_SECONDS - time.monotonic()))
        steady = time.process_time()
        time.sleep(max(0.0, started + seconds - time.monotonic()))
        load.steady_cpu_share = (time.process_time() - steady) / (seconds - LEAD_SECONDS)
    for thread in threads:
        thread.join()
    load.seconds = time.monotonic() - started
    load.cpu_seconds = time.process_time() - cpu
    return load


def _arrivals(
    per_second: float, seconds: float, started: float, seed: int
) -> Iterator[float] | None:
    if not per_second:
        return None
    count = int(per_second * seconds)
    gaps: NDArray[np.float64] = np.random.default_rng(seed).exponential(1 / per_second, count)
    due: list[float] = (started + np.cumsum(gaps)).tolist()
    return iter(due)


class _Connection:
    """A connection that is opened when it is needed and kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._buffer = bytearray(1 << 20)

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; returns the status and the body, status 0 if there is no answer."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), 60)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(request)
            return self._read(self._socket)
        except (OSError, ValueError):
            self.close()
            return 0, b""

    def close(self) -> None:
        """Close it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read(self, stream: socket.socket) -> tuple[int, bytes]:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more(stream)
        head = data[:end].lower()
        body = data[end + 4 :]
        status = int(head[9:12])
        mark = head.find(b"\r\ncontent-length:")
        if mark < 0:
            raise ValueError("an answer without a length")
        length = int(head[mark + 17 :].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._more(stream)
        if b"\r\nconnection: close" in head:
            self.close()
        return status, body

    def _more(self, stream: socket.socket) -> bytes:
        count = stream.recv_into(self._buffer)
        if not count:
            raise ValueError("the connection was closed")
        return bytes(memoryview(self._buffer)[:count])

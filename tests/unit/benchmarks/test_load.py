"""What is told of load once it is steady."""

from __future__ import annotations

import math
import socket
import threading

import numpy as np
import pytest

from benchmarks.load import LEAD_SECONDS, Load, drive, post


@pytest.mark.parametrize("phase", [0.0, 0.03, 0.06, 0.09, 0.119])
def test_the_rate_of_whole_batches_does_not_depend_on_where_they_end(phase: float) -> None:
    every = 0.12  # seconds, 16 rows each
    ends = np.arange(-4, 40) * every + LEAD_SECONDS + phase
    moments = np.random.default_rng(0).permutation(np.repeat(ends[ends > 0], 16))
    load = Load(moments=moments.tolist())
    assert load.steady_per_second(3.0) == pytest.approx(16 / every, rel=1e-9)
    counted = np.count_nonzero((moments >= LEAD_SECONDS) & (moments <= 3.0)) / (3.0 - LEAD_SECONDS)
    assert abs(counted - 16 / every) < 16 / 2.5  # a count is a batch out at most, and never exact


def test_a_slow_start_and_a_slow_end_are_not_part_of_it() -> None:
    steady = np.arange(LEAD_SECONDS, 2.0, 0.01)
    load = Load(moments=[0.4, *steady.tolist(), 2.4, 2.9])
    assert load.steady_per_second(2.0) == pytest.approx(100, rel=1e-9)


def test_no_answer_has_no_rate() -> None:
    assert math.isnan(Load().steady_per_second(2.0))


def test_moments_are_those_of_right_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        load = drive(
            listener.getsockname()[1],
            [post("/right", b""), post("/wrong", b"")],
            connections=1,
            seconds=LEAD_SECONDS + 0.2,
            right=lambda index, _body: index == 0,
        )
    assert load.wrong > 0
    assert len(load.moments) == load.statuses[200] - load.wrong > 0
    assert 0 < max(load.moments) <= load.seconds
    assert load.steady_per_second(load.seconds) < load.statuses[200] / load.seconds
    assert 0 < load.steady_cpu_share < 2.5  # of a core: who answers is a thread of this process


def _answer(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while connection.recv(4096):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

"""The highest rate within an objective."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from lrn_deploy.sizing.bulk_queue import OverloadedError, capacity
from lrn_deploy.sizing.replica import MOST_READING, MOST_UTILISED, Server, best

EXPONENTIAL = np.array([-0.02 * np.log(1 - (np.arange(200) + 0.5) / 200)])
TIMES = np.array([[0.005 + 0.001 * size] for size in range(1, 9)])


def test_the_knee_of_m_m_1_is_where_its_closed_form_is() -> None:
    """The p99 of M/M/1 is ln(100) / (50 - rate): within 0.2 s it is below 26.97 a second."""
    found = Server(EXPONENTIAL, 1).knee(0.2, 99)
    assert found == pytest.approx(50 - log(100) / 0.2, rel=0.02)


def test_at_the_knee_the_objective_is_kept_and_beyond_it_is_not() -> None:
    server = Server(TIMES, 8)
    knee = server.knee(0.020, 99)
    assert server.keeps(knee, 0.020, 99)
    assert not server.keeps(1.02 * knee, 0.020, 99)
    assert not server.keeps(2 * capacity(TIMES), 1000.0, 99)  # what it cannot bear, it never keeps


def test_a_lone_requests_quantile_is_among_its_times() -> None:
    times = np.arange(200.0, 0.0, -1.0)[None]  # 1 to 200, of which 99 % are 198 at most
    assert [Server(times, 1).least(percent) for percent in (50, 99, 99.5, 99.9)] == [
        100, 198, 199, 200,
    ]  # fmt: skip


def test_the_knee_is_looked_for_between_a_thousandth_and_the_highest_rate() -> None:
    """Eleven halvings, on a logarithmic scale, are 2048 places in a ratio of 1024."""
    server = Server(TIMES, 8)
    place = 2048 * (1 + log(server.knee(0.020, 99) / server.highest) / log(1024))
    assert 0 < place < 2048
    assert place == pytest.approx(round(place), abs=1e-6)


def test_an_objective_that_asks_little_ends_at_the_highest_utilisation() -> None:
    server = Server(TIMES, 8)
    assert server.knee(10, 99) == server.highest == MOST_UTILISED * capacity(TIMES)
    assert server.described(10, 99).bound == "processor"


def test_below_the_time_of_a_lone_request_nothing_is_kept() -> None:
    server = Server(TIMES, 8)
    assert server.least(99) == pytest.approx(0.006)
    assert server.knee(0.0059, 99) == 0


def test_a_thread_that_reads_beside_a_gpu_bounds_the_rate_and_adds_its_time() -> None:
    server = Server(TIMES, 8, beside=0.002, on_gpu=True)
    assert server.highest == MOST_READING / 0.002 == 400
    assert server.described(10, 99).bound == "reading requests"
    assert server.described(0.012, 99).bound == "GPU"  # which keeps it from more before that
    assert Server(TIMES, 8, beside=1e-6, on_gpu=True).described(10, 99).bound == "GPU"
    assert server.least(99) == pytest.approx(0.008)
    alone = Server(TIMES, 8).quantiles(250, [99])[1][0]
    assert server.quantiles(250, [99])[1][0] - alone == pytest.approx(0.003)  # M/D/1 at a half
    with pytest.raises(OverloadedError):
        server.quantiles(500, [99])


def test_of_several_the_one_that_bears_most_is_taken_and_of_equals_the_smaller() -> None:
    flat = np.array([[0.010]] * 4)
    server, replica = best([Server(flat[:1], 1), Server(flat[:2], 2), Server(flat, 4)], 1.0, 99)
    assert server.most == replica.max_batch_size == 4
    proportional = np.array([[0.010 * size] for size in (1, 2)])
    _, replica = best([Server(proportional, 2), Server(proportional[:1], 1)], 1.0, 99)
    assert replica.knee == pytest.approx(95)

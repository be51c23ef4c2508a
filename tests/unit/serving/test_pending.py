"""The queue: what enters, what leaves together, what came too late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrn_deploy.serving.errors import UnavailableError
from lrn_deploy.serving.pending import Job, PendingQueue


def job(rows: int, *, width: int = 2, priority: int = 2, deadline: int | None = None) -> Job:
    """A request of ``rows`` rows of ``width`` bytes."""
    return Job(
        {"x": np.zeros((rows, width), np.uint8)}, rows, 0, deadline=deadline, priority=priority
    )


def filled(*jobs: Job) -> PendingQueue:
    queue = PendingQueue()
    for one in jobs:
        queue.put(one)
    return queue


def rows_taken(queue: PendingQueue, max_rows: int) -> list[int]:
    return [one.rows for one in queue.take(max_rows, 0)[0]]


def test_a_request_that_does_not_fit_closes_the_batch_and_is_not_split() -> None:
    queue = filled(job(3), job(2), job(4), job(1))
    assert rows_taken(queue, 8) == [3, 2]
    assert rows_taken(queue, 8) == [4, 1]


def test_another_shape_closes_the_batch() -> None:
    queue = filled(job(1), job(1, width=3), job(1))
    assert [rows_taken(queue, 8) for _ in range(3)] == [[1], [1], [1]]


def test_priority_one_goes_first_and_arrival_decides_within_a_priority() -> None:
    jobs = [job(1, priority=3), job(2, priority=1), job(3, priority=2), job(4, priority=1)]
    assert rows_taken(filled(*jobs), 100) == [2, 4, 3, 1]


def test_late_jobs_are_handed_back_and_cancelled_ones_vanish() -> None:
    late, gone, good = job(1, deadline=5), job(1), job(1)
    queue = filled(late, gone, good)
    gone.future.cancel()
    assert queue.take(8, now=5) == ([good], [late])
    assert (queue.requests, queue.rows, queue.bytes) == (0, 0, 0)


def test_a_late_job_that_would_not_fit_does_not_close_the_batch() -> None:
    queue = filled(job(1), job(9, deadline=5), job(1))
    batch, late = queue.take(8, now=5)
    assert ([one.rows for one in batch], [one.rows for one in late]) == ([1, 1], [9])


def test_limits_on_requests_and_bytes() -> None:
    queue = PendingQueue(max_requests=2)
    queue.put(job(1))
    queue.put(job(100))
    with pytest.raises(UnavailableError, match="Exceeds maximum queue size: 2 requests"):
        queue.put(job(1))
    small = PendingQueue(max_bytes=10)
    small.put(job(50))  # alone it may be larger than the queue: there will never be more room
    with pytest.raises(UnavailableError):
        small.put(job(1))
    small.take(1, 0)
    small.put(job(4))
    with pytest.raises(UnavailableError):
        small.put(job(2))
    small.put(job(1))


def test_front_says_what_could_run_and_whether_more_could_join() -> None:
    assert PendingQueue().front(8) is None
    for jobs, rows, closed in (
        ([job(3)], 3, False),
        ([job(3), job(2)], 5, False),
        ([job(3), job(6)], 3, True),
        ([job(3), job(1, width=5)], 3, True),
        ([job(8)], 8, True),
    ):
        front = filled(*jobs).front(8)
        assert front is not None
        assert (front.rows, front.closed) == (rows, closed)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 8),  # rows
            st.integers(1, 2),  # width
            st.integers(1, 3),  # priority
            st.one_of(st.none(), st.integers(0, 4)),  # deadline
            st.booleans(),  # cancelled
        ),
        max_size=40,
    ),
    st.integers(8, 12),
)
def test_every_job_leaves_once_in_order_and_no_batch_is_too_large(
    specs: list[tuple[int, int, int, int | None, bool]], max_rows: int
) -> None:
    jobs = [
        job(rows, width=width, priority=priority, deadline=deadline)
        for rows, width, priority, deadline, _ in specs
    ]
    queue = filled(*jobs)
    for one, spec in zip(jobs, specs, strict=True):
        if spec[-1]:
            one.future.cancel()
    left: list[Job] = []
    while queue:
        batch, late = queue.take(max_rows, now=2)
        assert sum(one.rows for one in batch) <= max_rows
        assert len({one.shape for one in batch}) <= 1
        assert all(one.late(2) for one in late)
        assert not any(one.late(2) for one in batch)
        left += batch + late
    wanted = [one for one, spec in zip(jobs, specs, strict=True) if not spec[-1]]
    assert sorted(map(id, left)) == sorted(map(id, wanted))
    ran = [one for one in left if not one.late(2)]
    assert ran == sorted(
        (one for one in wanted if not one.late(2)), key=lambda one: one.priority
    )  # sorted is stable: arrival within a priority
    assert (queue.requests, queue.rows, queue.bytes) == (0, 0, 0)

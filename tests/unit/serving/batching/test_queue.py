"""The queue: what enters, what leaves together, what came too late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrn_deploy.serving.batching.job import Job
from lrn_deploy.serving.batching.queue import NextBatch, PendingQueue
from lrn_deploy.serving.errors import UnavailableError


def job(
    rows: int,
    *,
    width: int = 2,
    priority: int = 2,
    deadline: int | None = None,
    caller: str = "",
) -> Job:
    """A request of ``rows`` rows of ``width`` bytes."""
    array = np.zeros((rows, width), np.uint8)
    return Job({"x": array}, rows, 0, deadline=deadline, priority=priority, caller=caller)


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


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 8),  # rows
            st.integers(1, 2),  # width
            st.integers(1, 3),  # priority
            st.one_of(st.none(), st.integers(0, 4)),  # deadline
            st.sampled_from("abc"),  # caller
            st.booleans(),  # cancelled
        ),
        max_size=40,
    ),
    st.integers(8, 12),
)
def test_every_job_leaves_once_in_order_and_no_batch_is_too_large(
    specs: list[tuple[int, int, int, int | None, str, bool]], max_rows: int
) -> None:
    jobs = [
        job(rows, width=width, priority=priority, deadline=deadline, caller=caller)
        for rows, width, priority, deadline, caller, _ in specs
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
    assert [one.priority for one in ran] == sorted(one.priority for one in ran)
    for caller in "abc":
        assert [one for one in ran if one.caller == caller] == sorted(
            (one for one in wanted if not one.late(2) and one.caller == caller),
            key=lambda one: one.priority,
        )  # sorted is stable: arrival within a priority
    assert (queue.requests, queue.rows, queue.bytes) == (0, 0, 0)


def callers(batch: list[Job]) -> str:
    return "".join(one.caller for one in batch)


def test_a_flood_of_one_client_does_not_starve_another() -> None:
    queue = filled(*(job(1, caller="f") for _ in range(100)))
    assert callers(queue.take(8, 0)[0]) == "ffffffff"
    for _ in range(3):
        queue.put(job(1, caller="a"))
    queue.put(job(1, caller="b"))
    assert callers(queue.take(8, 0)[0]) == "abfafaff"


def test_turns_are_counted_in_rows() -> None:
    queue = filled(*(job(4, caller="f") for _ in range(9)), *(job(1, caller="a") for _ in range(9)))
    assert callers(queue.take(16, 0)[0]) == "faaaafaaaa"


def test_a_single_client_has_a_plain_queue() -> None:
    jobs = [job(rows, caller="a") for rows in (3, 1, 4, 1, 5)]
    assert filled(*jobs).take(100, 0)[0] == jobs


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 8)), min_size=2, max_size=80),
    st.lists(st.tuples(st.sampled_from("c"), st.integers(1, 8)), max_size=10),
    st.integers(8, 16),
)
def test_clients_that_always_wait_get_equally_many_rows(
    steady: list[tuple[str, int]], others: list[tuple[str, int]], max_rows: int
) -> None:
    jobs = [job(rows, caller=caller) for caller, rows in (*steady, *others)]
    queue = filled(*jobs)
    waiting = {caller: sum(one.caller == caller for one in jobs) for caller in "ab"}
    served = {"a": 0, "b": 0, "c": 0}
    while queue and all(waiting.values()):
        for one in queue.take(max_rows, 0)[0]:
            assert abs(served["a"] - served["b"]) <= 2 * 8  # Goyal's bound: a request of each
            served[one.caller] += one.rows
            if one.caller in waiting:
                waiting[one.caller] -= 1
            if not all(waiting.values()):
                break


def test_the_client_with_most_in_a_full_queue_makes_room_for_one_with_less() -> None:
    flood = [job(1, caller="f") for _ in range(4)]
    queue = PendingQueue(max_requests=4)
    for one in flood:
        assert queue.put(one) == []
    assert queue.admits("a")
    assert not queue.admits("f")
    assert queue.put(job(1, caller="a")) == [flood[3]]
    assert queue.put(job(1, caller="a")) == [flood[2]]
    assert not queue.admits("a")  # two of four are its share
    with pytest.raises(UnavailableError):
        queue.put(job(1, caller="a"))
    assert len(queue.put(job(1, caller="b"))) == 1
    assert (queue.requests, queue.rows) == (4, 4)


def test_room_is_never_made_at_the_cost_of_a_higher_priority() -> None:
    urgent, usual = job(1, caller="f", priority=1), job(1, caller="f", priority=2)
    queue = PendingQueue(max_requests=2)
    queue.put(usual)
    queue.put(urgent)
    with pytest.raises(UnavailableError):
        queue.put(job(1, caller="a", priority=3))
    assert queue.put(job(1, caller="a", priority=2)) == [usual]


def test_who_may_still_come_is_whoever_has_something_small_or_urgent_enough() -> None:
    queue = PendingQueue(max_bytes=10)
    queue.put(job(1, width=9, caller="f"))
    assert queue.admits("f")  # a byte is left
    queue.put(job(1, width=1, caller="f"))
    assert not queue.admits("f")
    urgent = PendingQueue(max_requests=2)
    for _ in range(2):
        urgent.put(job(1, caller="f", priority=1))
    assert urgent.admits("a")  # with as urgent a one
    with pytest.raises(UnavailableError):
        urgent.put(job(1, caller="a", priority=2))
    assert len(urgent.put(job(1, caller="a", priority=1))) == 1


def test_room_in_bytes_is_made_by_as_many_as_it_takes() -> None:
    flood = [job(1, width=2, caller="f") for _ in range(5)]
    queue = PendingQueue(max_bytes=10)
    for one in flood:
        queue.put(one)
    assert queue.put(job(1, width=4, caller="a")) == [flood[4], flood[3]]
    with pytest.raises(UnavailableError):
        queue.put(job(1, width=6, caller="b"))  # more than a fair share
    assert (queue.bytes, queue.requests) == (10, 4)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 3), st.integers(1, 6)), max_size=60),
    st.integers(1, 6),
)
def test_a_full_queue_loses_nobody_and_keeps_its_limit(
    specs: list[tuple[str, int, int]], limit: int
) -> None:
    queue = PendingQueue(max_requests=limit, max_bytes=20)
    entered: list[Job] = []
    out: list[Job] = []
    for caller, priority, width in specs:
        one = job(1, width=width, priority=priority, caller=caller)
        might = queue.admits(caller)
        try:
            out += queue.put(one)
        except UnavailableError:
            continue
        assert might
        entered.append(one)
        assert queue.requests <= limit
        assert queue.bytes <= 20
    while queue:
        out += queue.take(2, 0)[0]
    assert sorted(map(id, out)) == sorted(map(id, entered))


def test_a_cancelled_job_that_makes_room_is_just_gone() -> None:
    """Its caller has left: to tell it that another client's turn came would be an error."""
    queue = PendingQueue(max_requests=2)
    older, newer = job(1, caller="f"), job(1, caller="f")
    for one in (older, newer):
        queue.put(one)
    newer.future.cancel()
    assert queue.put(job(1, caller="a")) == []
    assert queue.requests == 2


def test_a_request_that_just_fits_is_part_of_the_front() -> None:
    assert filled(job(3), job(5), job(1)).front(8) == NextBatch(8, True, 0)


def test_the_front_is_as_old_as_its_oldest_request_of_any_priority() -> None:
    urgent, usual = job(1, priority=1), job(1, priority=3)
    urgent.arrived, usual.arrived = 9, 4
    assert filled(usual, urgent).front(8) == NextBatch(2, False, 4)


def test_a_queue_that_was_cleared_owes_nobody_anything() -> None:
    queue = PendingQueue(max_requests=2)
    gone = [job(1, caller="f"), job(1, caller="f")]
    for one in gone:
        queue.put(one)
    assert queue.clear() == gone
    newer = [job(1, caller="a"), job(1, caller="a")]
    for one in newer:
        queue.put(one)
    assert queue.put(job(1, caller="b")) == newer[1:]  # the one with most is a, not f


def test_clients_that_are_gone_are_forgotten() -> None:
    """Names of callers come from outside, so there may be any number of them."""
    queue = PendingQueue()
    for number in range(50):
        queue.put(job(1, caller=str(number)))
        queue.take(8, 0)
    assert not queue._requests_of
    assert not queue._bytes_of

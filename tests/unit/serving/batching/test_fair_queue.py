"""The order of service, with start and finish tags computed by hand."""

from __future__ import annotations

import numpy as np

from lrn_deploy.serving.batching.fair_queue import FairQueue
from lrn_deploy.serving.batching.job import Job


def job(caller: str, rows: int = 1) -> Job:
    return Job({"x": np.zeros((rows, 1), np.uint8)}, rows, 0, caller=caller)


def served(queue: FairQueue) -> list[Job]:
    return [queue.take() for _ in range(len(queue))]


def test_a_request_that_had_to_leave_costs_its_client_no_turn() -> None:
    queue = FairQueue()
    first, large = job("a"), job("a", 8)
    for one in (first, large):  # a: starts 0 and 1, finish 9
        queue.put(one)
    queue.give_up(large)  # finish 1 again
    others = [job("b"), job("b")]
    for one in others:  # b: starts 0 and 1
        queue.put(one)
    second = job("a")  # starts at 1
    queue.put(second)
    last = job("b")  # starts at 2
    queue.put(last)
    assert served(queue) == [first, *others, second, last]
    alone = job("c")
    queue.put(alone)
    queue.give_up(alone)
    assert not queue._finish  # nor is it remembered


def test_a_client_that_comes_later_starts_at_the_time_of_the_queue() -> None:
    queue = FairQueue()
    flood = [job("f") for _ in range(6)]  # starts 0 to 5
    for one in flood:
        queue.put(one)
    assert [queue.take() for _ in range(4)] == flood[:4]  # the time is 3
    new = [job("n"), job("n"), job("n")]  # starts 3, 4, 5
    for one in new:
        queue.put(one)
    assert served(queue) == [new[0], flood[4], new[1], flood[5], new[2]]


def test_any_number_of_clients_that_come_once_takes_no_more_memory() -> None:
    queue = FairQueue()
    faithful = [job("a"), job("a")]
    for one in faithful:
        queue.put(one)
    for number in range(3000):  # there is always somebody who waits
        queue.put(job(str(number)))
        queue.take()
    assert len(queue) == 2
    assert len(queue._finish) <= 1004
    last = job("a")
    queue.put(last)  # who waits is not forgotten: its own requests keep their order
    assert [one for one in served(queue) if one.caller == "a"][-2:] == [faithful[1], last]


def test_who_came_lately_is_remembered_among_any_number_of_others() -> None:
    queue = FairQueue()
    large, waits = job("w", 8), job("w")
    for one in (large, waits):  # starts 0 and 8
        queue.put(one)
    assert queue.take() is large

    def come_and_go(one: Job) -> None:
        queue.put(one)
        assert queue.take() is one

    come_and_go(job("b"))  # finishes at 1

    for number in range(900):
        come_and_go(job(str(number)))
    come_and_go(job("b", 7))  # starts at 1, finishes at 8
    for number in range(900, 1200):
        come_and_go(job(str(number)))
    again, new = job("b"), job("c")
    queue.put(again)  # starts at 8
    queue.put(new)  # starts at 1, the time of the queue
    assert served(queue) == [new, waits, again]


def test_the_more_clients_wait_the_more_others_are_remembered() -> None:
    queue = FairQueue()
    for number in range(350):
        queue.put(job(f"w{number}", 8))
        queue.put(job(f"w{number}"))  # starts at 8
    for _ in range(350):
        queue.take()

    def come_and_go(one: Job) -> None:
        queue.put(one)
        assert queue.take() is one

    come_and_go(job("b", 7))  # finishes at 7
    for number in range(900):
        come_and_go(job(str(number)))
    again, new = job("b"), job("c")
    queue.put(again)  # starts at 7
    queue.put(new)  # starts at 0, the time of the queue
    assert [queue.take(), queue.take()] == [new, again]


def test_an_empty_queue_owes_nobody_a_turn() -> None:
    queue = FairQueue()
    queue.put(job("a", 8))
    queue.take()
    late, new = job("a"), job("b")
    for one in (late, new):  # both start at 0 again
        queue.put(one)
    assert list(reversed(queue)) == [new, late]
    assert served(queue) == [late, new]

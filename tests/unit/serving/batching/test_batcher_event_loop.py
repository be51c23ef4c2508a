"""Quick networks run on the thread of the event loop that asks; slow ones never do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lrn_deploy.serving.batching.batcher import Batcher
from lrn_deploy.serving.batching.delivery import outcome_of
from lrn_deploy.serving.batching.job import Job, Outcome
from lrn_deploy.serving.batching.policy import Adaptive, Fixed
from lrn_deploy.serving.errors import InferenceError
from tests.support.batching import Network, batcher, job, submit


def threads_of_batches(milliseconds: float, *, fail_at: int = -1) -> tuple[Counter[str], int]:
    """Which threads run batches for an event loop, and how many answers were right."""
    threads: Counter[str] = Counter()

    def act(_rows: int) -> None:
        threads[threading.current_thread().name] += 1
        if threads.total() == fail_at:
            raise RuntimeError("broken")
        time.sleep(milliseconds / 1e3)

    async def ask(one: Batcher) -> int:
        right = 0
        for step in range(60):
            jobs = [job(step * 4 + index) for index in range(1 + step % 3)]
            for request in jobs:
                one.submit(request)
            for request in jobs:
                try:
                    outcome = await outcome_of(request.future)
                except InferenceError:
                    continue
                right += outcome.outputs["first"].tolist() == request.inputs["x"][:, 0].tolist()
        return right

    with batcher(Network(act), make=lambda: Network(act), here_seconds=0.002) as one:
        return threads, asyncio.run(ask(one))


def test_what_runs_quicker_than_a_thread_wakes_runs_on_the_event_loops_thread() -> None:
    threads, right = threads_of_batches(0)
    assert right == 120
    assert threads.keys() == {"MainThread", "batcher-0"}  # first it must be seen to be quick
    assert threads["MainThread"] > threads["batcher-0"]


def test_what_takes_longer_never_holds_the_event_loop_up() -> None:
    threads, right = threads_of_batches(3)
    assert right == 120
    assert threads.keys() == {"batcher-0"}


def test_a_failure_on_the_event_loops_thread_hits_one_batch() -> None:
    threads, right = threads_of_batches(0, fail_at=40)
    assert 117 <= right < 120
    assert threads["MainThread"] > 20


def test_threads_and_an_event_loop_share_a_batcher() -> None:
    async def ask(one: Batcher, start: int) -> bool:
        good = True
        for tag in range(start, start + 500):
            request = job(tag)
            one.submit(request)
            good &= (await outcome_of(request.future)).outputs["first"].tolist() == [tag]
        return good

    def caller(one: Batcher, start: int) -> bool:
        return all(
            submit(one, tag).result(10).outputs["first"].tolist() == [tag]
            for tag in range(start, start + 500)
        )

    with (
        batcher(Network(), Network(), here_seconds=0.002) as one,
        ThreadPoolExecutor(3) as pool,
    ):
        others = [pool.submit(caller, one, 10_000 * (1 + index)) for index in range(3)]
        assert asyncio.run(ask(one, 0))
        assert all(other.result(30) for other in others)


def test_a_wait_that_is_cancelled_takes_the_job_out_of_the_queue() -> None:
    async def leave(one: Batcher) -> Job:
        request = job(1)
        one.submit(request)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(outcome_of(request.future), 0.02)
        return request

    with batcher(Network(), policy=Fixed(8, delay_ns=10**9)) as one:
        assert asyncio.run(leave(one)).future.cancelled()


def test_a_network_that_an_event_loop_runs_is_run_by_nobody_else_meanwhile() -> None:
    """Its own thread, woken by another request just then, once took it, too, and jobs got lost."""
    inside: list[str] = []
    together: list[int] = []
    others: list[Any] = []

    def act(_rows: int) -> None:
        together.append(len(inside))
        inside.append(threading.current_thread().name)
        if threading.current_thread() is threading.main_thread() and not others:
            others.append(pool.submit(lambda: submit(one, 7).result(10)))
            time.sleep(0.1)  # its own thread is woken
        inside.pop()

    async def ask() -> None:
        request = job(1)
        one.submit(request)
        await asyncio.wait_for(outcome_of(request.future), 10)
        await asyncio.wait_for(asyncio.wrap_future(others[0]), 10)

    with ThreadPoolExecutor(1) as pool, batcher(Network(act), here_seconds=1.0) as one:
        submit(one, 3).result(10)  # now it is known to be quick
        time.sleep(0.05)  # its own thread waits
        asyncio.run(ask())
    assert together == [0, 0, 0]
    assert others[0].result().outputs["first"].tolist() == [7]


async def answer(one: Batcher, *rows: int) -> Outcome:
    """What an event loop gets for one request."""
    request = job(*rows)
    one.submit(request)
    return await asyncio.wait_for(outcome_of(request.future), 5)


def test_requests_that_come_together_wake_as_many_instances() -> None:
    """Each network waits until the other one runs, too."""
    both = threading.Barrier(2, timeout=4)
    networks = [Network(lambda _rows: both.wait() and None) for _ in "ab"]

    async def ask(one: Batcher) -> list[Outcome]:
        return await asyncio.gather(answer(one, 1), answer(one, 2))

    with batcher(*networks, policy=Adaptive(1)) as one:
        outcomes = asyncio.run(ask(one))
    assert [outcome.outputs["first"].item() for outcome in outcomes] == [1, 2]
    assert [network.batches for network in networks] == [[1], [1]]


def test_a_quick_network_on_the_event_loop_waits_for_company_all_the_same() -> None:
    with batcher(Network(), policy=Fixed(8, delay_ns=20_000_000), here_seconds=5.0) as one:
        submit(one, 1).result(5)  # now it is known to be quick
        assert asyncio.run(answer(one, 2)).timing.queue >= 20_000_000


def test_one_batch_that_was_held_up_does_not_make_a_network_slow() -> None:
    threads: list[str] = []
    network = Network(lambda _rows: threads.append(threading.current_thread().name))
    with batcher(network, here_seconds=5.0) as one:
        submit(one, 1).result(5)
        one._ledger.least[1] = 60 * 10**9  # as if it had taken a minute
        submit(one, 2).result(5)
        asyncio.run(answer(one, 3))
    assert threads == ["batcher-0", "batcher-0", "MainThread"]


def test_a_network_that_is_made_anew_must_show_again_that_it_is_quick() -> None:
    threads: list[str] = []

    def fail(_rows: int) -> None:
        if first.batches[1:]:
            raise RuntimeError("broken")

    first = Network(fail)
    new = Network(lambda _rows: threads.append(threading.current_thread().name))
    with batcher(first, make=lambda: new, here_seconds=5.0) as one:
        submit(one, 1).result(5)
        with pytest.raises(InferenceError):
            asyncio.run(answer(one, 2))
        asyncio.run(answer(one, 3))
        asyncio.run(answer(one, 4))
    assert threads == ["batcher-0", "MainThread"]

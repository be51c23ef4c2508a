"""The batcher: every caller gets its own rows, whatever runs beside them and whatever fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lrn_deploy.serving.arrivals import outcome_of
from lrn_deploy.serving.batcher import Batcher
from lrn_deploy.serving.errors import (
    AbandonedError,
    ClosedError,
    InferenceError,
    UnavailableError,
)
from lrn_deploy.serving.jobs import Job, Outcome
from lrn_deploy.serving.pending import PendingQueue
from lrn_deploy.serving.policy import Adaptive, Fixed, Policy
from lrn_deploy.serving.statistics import Statistics

Array = NDArray[Any]


class Network:
    """Doubles and names its rows; does what ``act`` says first."""

    def __init__(self, act: Callable[[int], None] = lambda _rows: None) -> None:
        self.act = act
        self.batches: list[int] = []
        self.closed = False

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        assert not self.closed
        x = feeds["x"]
        self.batches.append(len(x))
        self.act(len(x))
        return {"double": x * 2, "first": x[:, 0].copy()}

    def close(self) -> None:
        self.closed = True


@contextmanager
def batcher(
    *networks: Network,
    policy: Policy = Adaptive(8),  # noqa: B008 - frozen
    queue: PendingQueue | None = None,
    make: Callable[[], Network] = Network,
    **options: Any,
) -> Iterator[Batcher]:
    one = Batcher(
        make,
        list(networks),
        policy,
        PendingQueue() if queue is None else queue,
        Statistics(),
        **options,
    )
    try:
        yield one
    finally:
        one.close(5)


def job(*rows: int, timeout_ms: float | None = None, client: str = "") -> Job:
    now = time.monotonic_ns()
    return Job(
        {"x": np.array([[row, -row] for row in rows], np.int64)},
        len(rows),
        now,
        deadline=None if timeout_ms is None else now + int(timeout_ms * 1e6),
        client=client,
    )


def submit(
    one: Batcher, *rows: int, timeout_ms: float | None = None, client: str = ""
) -> Future[Outcome]:
    request = job(*rows, timeout_ms=timeout_ms, client=client)
    one.submit(request)
    return request.future


def test_tens_of_thousands_of_tagged_rows_come_back_to_their_callers() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 12_000)  # some 54,000 rows
    starts = np.cumsum(sizes) - sizes
    networks = Network(), Network()
    mixed = Adaptive(8)
    with batcher(*networks, policy=mixed) as one:

        def caller(index: int) -> bool:
            tags = np.arange(starts[index], starts[index] + sizes[index])
            client = str(index % 5)
            outputs = submit(one, *tags.tolist(), client=client).result(30).outputs
            return bool(
                np.array_equal(outputs["first"], tags)
                and np.array_equal(outputs["double"], np.stack([tags, -tags], 1) * 2)
            )

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(caller, range(len(sizes)), chunksize=50))
        statistics = one.statistics
    assert statistics.rows == sizes.sum() == sum(sum(network.batches) for network in networks)
    assert statistics.success.count == len(sizes)
    assert statistics.executions == sum(len(network.batches) for network in networks)
    assert max(max(network.batches) for network in networks) <= 8
    assert statistics.executions < len(sizes)  # some did run together


def test_an_idle_network_runs_a_request_alone_and_a_busy_one_collects() -> None:
    gate = threading.Event()
    network = Network(lambda rows: gate.wait(5) if rows == 1 else None)
    with batcher(network) as one:
        first = submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        others = [submit(one, row, row) for row in range(5)]
        gate.set()
        for future in (first, *others):
            future.result(5)
    assert network.batches == [1, 8, 2]


def test_a_fixed_delay_collects_requests() -> None:
    network = Network()
    with batcher(network, policy=Fixed(8, delay_ns=200_000_000)) as one:
        futures = [submit(one, row) for row in range(3)]
        assert futures[0].result(5).timing.queue >= 190_000_000
    assert network.batches == [3]


def test_a_full_queue_refuses_and_counts_it() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(5) and None)
    with batcher(network, queue=PendingQueue(max_requests=2)) as one:
        submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        accepted = [submit(one, 2), submit(one, 3)]
        with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
            submit(one, 4)
        with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
            one.refuse_if_full()
        assert one.statistics.failures == {"REJECTED": 2}
        gate.set()
        assert [future.result(5).outputs["first"].item() for future in accepted] == [2, 3]


def test_in_a_full_queue_a_client_with_less_takes_the_place_of_one_with_more() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(5) and None)
    with batcher(network, queue=PendingQueue(max_requests=2)) as one:
        submit(one, 1, client="flood")
        while not network.batches:
            time.sleep(0.001)
        older, newer = (submit(one, row, client="flood") for row in (2, 3))
        with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
            one.refuse_if_full("flood")
        one.refuse_if_full("calm")
        calm = submit(one, 4, client="calm")
        with pytest.raises(UnavailableError, match="another client's turn"):
            newer.result(5)
        gate.set()
        assert [future.result(5).outputs["first"].item() for future in (older, calm)] == [2, 4]
        assert one.statistics.failures == {"REJECTED": 2}


def test_a_deadline_is_checked_at_the_door_in_the_queue_and_before_the_run() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(5) and None)
    with batcher(network) as one:
        with pytest.raises(UnavailableError, match="before it was queued"):
            submit(one, 1, timeout_ms=-1)
        submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        late = submit(one, 2, timeout_ms=20)
        good = submit(one, 3)
        time.sleep(0.03)
        gate.set()
        with pytest.raises(UnavailableError, match="expired in the queue"):
            late.result(5)
        assert good.result(5).timing.batch_rows == 1
    assert one.statistics.failures == {"REJECTED": 2}


def test_a_request_that_could_not_be_answered_in_time_is_refused_at_the_door() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(5) and None)
    with batcher(network) as one:
        for _ in range(5):
            one.latency.add(1, 100e6)  # each row takes 100 ms
        submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        submit(one, 2)
        with pytest.raises(UnavailableError, match="where 1 requests wait for about 100 ms"):
            submit(one, 3, timeout_ms=50)
        submit(one, 4, timeout_ms=5000)
        gate.set()


def test_a_cancelled_request_never_runs() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(5) and None)
    with batcher(network) as one:
        submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        gone, good = submit(one, 2, 2, 2), submit(one, 3)
        assert gone.cancel()
        gate.set()
        good.result(5)
    assert network.batches == [1, 1]
    assert one.statistics.failures == {"CANCELED": 1}


def test_a_network_that_raises_fails_its_batch_and_is_made_anew() -> None:
    def fail(_rows: int) -> None:
        raise RuntimeError("out of memory")

    broken, new = Network(fail), Network()
    with batcher(broken, make=lambda: new) as one:
        with pytest.raises(InferenceError, match="out of memory"):
            submit(one, 1).result(5)
        assert submit(one, 2).result(5).outputs["first"].item() == 2
        assert (broken.closed, one.alive) == (True, 1)
        assert one.statistics.failures == {"BACKEND": 1}


def test_a_network_that_cannot_be_made_anew_is_gone_and_everyone_hears_of_it() -> None:
    gate = threading.Event()

    def fail(_rows: int) -> None:
        gate.wait(5)
        raise RuntimeError("the device is lost")

    def make() -> Network:
        raise RuntimeError("still lost")

    changes: list[int] = []
    network = Network(fail)
    with batcher(network, make=make, on_change=lambda: changes.append(1)) as one:
        first = submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        second = submit(one, 2)
        gate.set()
        with pytest.raises(InferenceError):
            first.result(5)
        with pytest.raises(AbandonedError, match="No instance"):
            second.result(5)
        assert (one.alive, changes) == (0, [1])
        with pytest.raises(AbandonedError):
            submit(one, 3)


def test_a_network_that_hangs_is_given_up() -> None:
    gate = threading.Event()
    hanging = Network(lambda _rows: gate.wait(10) and None)
    with batcher(hanging, hang_seconds=0.05) as one:
        stuck = submit(one, 1)
        while not hanging.batches:
            time.sleep(0.001)
        waiting = submit(one, 2)
        one.check_hangs()
        assert not stuck.done()
        time.sleep(0.06)
        one.check_hangs()
        with pytest.raises(AbandonedError, match=r"has not answered for 0\.05 s"):
            stuck.result(1)
        with pytest.raises(AbandonedError):
            waiting.result(1)
        assert one.alive == 0
        gate.set()


def test_a_second_instance_goes_on_when_one_hangs() -> None:
    gate = threading.Event()
    networks = [Network(lambda rows: gate.wait(10) and None if rows == 2 else None) for _ in "ab"]
    with batcher(*networks, hang_seconds=0.05) as one:
        stuck = submit(one, 1, 1)
        while not any(network.batches for network in networks):
            time.sleep(0.001)
        time.sleep(0.06)
        one.check_hangs()
        with pytest.raises(AbandonedError):
            stuck.result(1)
        assert one.alive == 1
        assert submit(one, 7).result(5).outputs["first"].item() == 7
        gate.set()


def test_closing_finishes_what_is_queued_and_takes_no_more() -> None:
    network = Network(lambda _rows: time.sleep(0.01))
    with batcher(network, policy=Adaptive(1)) as one:
        futures = [submit(one, row) for row in range(10)]
        assert one.close(5)
        assert [future.result(0).outputs["first"].item() for future in futures] == list(range(10))
        with pytest.raises(ClosedError):
            submit(one, 1)
    assert network.closed


def test_closing_gives_up_after_its_limit() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(10) and None)
    with batcher(network) as one:
        running = submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        queued = submit(one, 2)
        assert not one.close(0.05)
        for future in (running, queued):
            with pytest.raises(AbandonedError, match="stopping"):
                future.result(1)
        gate.set()


def test_a_network_that_loses_rows_fails_the_batch() -> None:
    class Short(Network):
        def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            return {"double": feeds["x"][:1]}

    with (
        batcher(Short()) as one,
        pytest.raises(InferenceError, match=r"shape \[1, 2\] for a batch of 2 rows"),
    ):
        submit(one, 1, 2).result(5)


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
        for tag in range(start, start + 1500):
            request = job(tag)
            one.submit(request)
            good &= (await outcome_of(request.future)).outputs["first"].tolist() == [tag]
        return good

    def caller(one: Batcher, start: int) -> bool:
        return all(
            submit(one, tag).result(10).outputs["first"].tolist() == [tag]
            for tag in range(start, start + 1500)
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

"""The batcher at its limits: to the nanosecond, to the row, with an instance lost, closing."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.serving.batching.batcher import Batcher
from lrn_deploy.serving.batching.delivery import outcome_of
from lrn_deploy.serving.batching.job import Outcome
from lrn_deploy.serving.batching.policy import Adaptive, Fixed
from lrn_deploy.serving.errors import AbandonedError, UnavailableError
from tests.support.batching import Network, batcher, job, submit

NOW = 10**9


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the batcher's own clock stand still."""
    fake = SimpleNamespace(monotonic_ns=lambda: NOW, monotonic=time.monotonic)
    monkeypatch.setattr("lrn_deploy.serving.batching.batcher.time", fake)


@pytest.mark.usefixtures("still")
def test_a_deadline_that_is_reached_is_over_and_one_nanosecond_is_left_of_the_next() -> None:
    with batcher(Network()) as one:
        over, left = job(1), job(1)
        over.deadline, left.deadline = NOW, NOW + 1
        with pytest.raises(UnavailableError, match="before it was queued"):
            one.submit(over)
        one.submit(left)
        with pytest.raises(UnavailableError, match="before it ran"):
            left.future.result(5)


@pytest.mark.usefixtures("still")
def test_a_wait_that_ends_with_the_deadline_is_taken() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(5) and None)
    with batcher(network) as one:
        one.latency.add(1, 1000)  # each row takes 1000 ns
        submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        submit(one, 2)
        late, timely = job(3), job(4)
        late.deadline, timely.deadline = NOW + 999, NOW + 1000
        with pytest.raises(UnavailableError, match="would expire in the queue"):
            one.submit(late)
        one.submit(timely)
        gate.set()


@pytest.mark.usefixtures("still")
def test_a_run_is_given_up_when_it_takes_longer_than_it_may() -> None:
    with batcher(Network(), hang_seconds=0.5) as one:
        (instance,) = one._instances
        instance.busy_since = NOW // 2
        one.check_hangs()
        assert one.alive == 1
        instance.busy_since -= 1
        one.check_hangs()
        assert one.alive == 0
    with batcher(Network()) as patient:  # where nothing is said, none is
        patient._instances[0].busy_since = -(10**18)
        patient.check_hangs()
        assert patient.alive == 1


def test_where_nothing_is_said_the_event_loop_runs_nothing() -> None:
    threads: list[str] = []
    network = Network(lambda _rows: threads.append(threading.current_thread().name))
    with batcher(network) as one:
        submit(one, 1).result(5)
        assert asyncio.run(answer(one, 2)).outputs["first"].tolist() == [2]
    assert threads == ["batcher-0"] * 2


def test_closing_waits_for_each_instance_as_long_as_is_left_and_for_none_that_is_lost() -> None:
    waits: list[tuple[int, float | None]] = []
    with batcher(Network(), Network(), Network()) as one:
        threads = [instance.thread for instance in one._instances]
        for at, instance in enumerate(one._instances):
            instance.thread = SimpleNamespace(  # type: ignore[assignment]  # as far as it is asked
                join=lambda seconds, at=at: waits.append((at, seconds)), is_alive=lambda: True
            )
        one._instances[1].abandon("Lost.")
        assert not one.close(-1)
        for thread in threads:
            thread.join(5)
        for instance in one._instances:
            instance.thread = SimpleNamespace(join=None, is_alive=lambda: False)  # type: ignore[assignment]  # likewise
    assert waits == [(0, 0), (2, 0)]


def test_closing_without_a_limit_waits_until_all_is_done() -> None:
    network = Network(lambda _rows: time.sleep(0.01))
    with batcher(network, policy=Adaptive(1)) as one:
        futures = [submit(one, row) for row in range(3)]
        assert one.close()
        assert all(future.done() for future in futures)


async def answer(one: Batcher, *rows: int) -> Outcome:
    request = job(*rows)
    one.submit(request)
    return await asyncio.wait_for(outcome_of(request.future), 5)


def test_no_batch_of_the_event_loop_is_larger_than_the_largest() -> None:
    async def ask(one: Batcher) -> None:
        await asyncio.gather(*(answer(one, row) for row in range(5)))

    network = Network()
    with batcher(network, policy=Adaptive(2), here_seconds=5.0) as one:
        submit(one, 1).result(5)
        submit(one, 1, 1).result(5)  # now both sizes are known to be quick
        asyncio.run(ask(one))
    assert network.batches == [1, 2, 2, 2, 1]


def test_an_event_loop_leaves_an_instance_alone_that_is_lost() -> None:
    lost, left = Network(), Network()
    with batcher(lost, left, here_seconds=5.0) as one:
        one._ledger.ran(1, 1)  # known to be quick
        one._instances[0].abandon("Lost.")
        assert asyncio.run(answer(one, 2)).outputs["first"].tolist() == [2]
    assert (lost.batches, left.batches) == ([], [1])


def test_an_event_loop_tells_who_came_too_late() -> None:
    async def ask(one: Batcher) -> None:
        request = job(1)
        one.submit(request)
        request.deadline = time.monotonic_ns()  # before the loop can look at it
        with pytest.raises(UnavailableError, match="expired in the queue"):
            await asyncio.wait_for(outcome_of(request.future), 5)

    with batcher(Network(), here_seconds=5.0) as one:
        one._ledger.ran(1, 1)  # known to be quick
        asyncio.run(ask(one))
        assert one.statistics.failures == {"REJECTED": 1}


def test_an_event_loop_asks_once_for_all_that_come_together() -> None:
    async def ask(one: Batcher) -> None:
        await asyncio.gather(*(answer(one, row) for row in range(3)))

    asked: list[Any] = []
    with batcher(Network(), policy=Fixed(8, delay_ns=20_000_000), here_seconds=5.0) as one:
        look = one._run_here_or_notify

        def counted() -> None:
            asked.append(1)
            look()

        one._run_here_or_notify = counted  # type: ignore[method-assign]  # to count it
        asyncio.run(ask(one))
    assert len(asked) == 1  # and not again and again while it waits for company


def test_who_waits_for_a_model_that_was_given_up_is_told_that_it_was() -> None:
    with batcher(Network(), policy=Fixed(8, delay_ns=60 * 10**9), hang_seconds=0.5) as one:
        waiting = submit(one, 1)
        one._instances[0].busy_since = 1
        one.check_hangs()
        with pytest.raises(AbandonedError, match="No instance of this model is left"):
            waiting.result(5)
        with pytest.raises(AbandonedError, match="No instance of this model is left"):
            submit(one, 2)

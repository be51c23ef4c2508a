"""What one batch of one network leaves behind, on a clock that is read out by hand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

from lrn_deploy.serving.batching import instance as instance_module
from lrn_deploy.serving.batching import ledger as ledger_module
from lrn_deploy.serving.batching.delivery import outcome_of, together
from lrn_deploy.serving.batching.instance import Instance
from lrn_deploy.serving.batching.job import Job, Outcome, Timing
from lrn_deploy.serving.batching.ledger import Ledger
from lrn_deploy.serving.batching.rows import join, split
from lrn_deploy.serving.batching.statistics import Duration, Statistics
from lrn_deploy.serving.errors import AbandonedError, InferenceError, UnavailableError
from tests.support.batching import Network, batcher, job, submit


def clock(monkeypatch: pytest.MonkeyPatch, *moments: int) -> Iterator[int]:
    """Have the instance and its ledger read these moments, one after the other."""
    left = iter(moments)
    fake = SimpleNamespace(monotonic_ns=lambda: next(left))
    monkeypatch.setattr(instance_module, "time", fake)
    monkeypatch.setattr(ledger_module, "time", fake)
    return left


def at(arrived: int, *rows: int, deadline: int | None = None) -> Job:
    array = np.array([[row, -row] for row in rows], np.int64)
    return Job({"x": array}, len(rows), arrived, deadline=deadline)


def lone(network: Network, lost: list[str], make: type[Network] = Network) -> Instance:
    """An instance whose thread does not run."""
    ledger = Ledger(Statistics())
    return Instance(network, 0, make, ledger, lambda _one: [], lambda: lost.append("lost"))


def test_the_times_of_a_batch_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    left = clock(monkeypatch, 100, 101, 102, 110, 140, 160)
    one = lone(Network(), [])
    jobs = [at(40, 1), at(70, 2, 3)]
    one.run(jobs)
    assert next(left, None) is None
    assert not any(each.future.done() for each in jobs)  # until the next batch is put together
    one.deliver()
    assert [each.future.result().timing for each in jobs] == [
        Timing(60, 10, 30, 20, 3, 40),
        Timing(30, 10, 30, 20, 3, 70),
    ]
    ledger = one._ledger
    assert ledger.least == {3: 60}
    assert ledger.latency(3) == pytest.approx(60)
    assert ledger.statistics.success == Duration(2, 120 + 90)
    assert (one.batch, one.answers, one.busy_since) == ([], [], None)


def test_the_quickest_batch_of_each_size_is_known() -> None:
    ledger = Ledger(Statistics())
    for rows, nanoseconds in ((2, 50), (2, 40), (2, 60), (1, 30)):
        ledger.ran(rows, nanoseconds)
    assert ledger.least == {2: 40, 1: 30}


def test_a_job_is_late_from_its_deadline_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [at(0, 1, deadline=5).late(now) for now in (4, 5, 6)] == [False, True, True]
    assert not at(0, 1).late(10**18)
    clock(monkeypatch, 100, 100, 100, 105, 110, 140, 160)
    one = lone(Network(), [])
    late, good = at(40, 1, deadline=100), at(50, 2)
    one.run([late, good])
    with pytest.raises(UnavailableError, match="before it ran"):
        late.future.result(0)
    one.deliver()
    assert good.future.result(0).timing == Timing(50, 10, 30, 20, 1, 50)
    assert one._ledger.statistics.failures == {"REJECTED": 1}
    assert one._ledger.statistics.fail == Duration(1, 105 - 40)


def test_a_failure_is_timed_and_everything_known_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_rows: int) -> None:
        raise RuntimeError("broken")

    clock(monkeypatch, 100, 101, 110, 175)
    network = Network(fail)
    one = lone(network, [])
    one._ledger.ran(1, 10)
    failed = at(40, 1)
    one.run([failed])
    with pytest.raises(InferenceError, match="The network failed: broken"):
        failed.future.result(0)
    assert one._ledger.statistics.fail == Duration(1, 135)
    assert one._ledger.least == {}
    assert network.closed
    assert one.runner is not network
    assert one.alive
    assert one.busy_since is None


def test_what_is_given_up_while_it_runs_gets_no_second_answer() -> None:
    lost: list[str] = []
    network = Network(lambda _rows: one.abandon("Too slow."))
    one = lone(network, lost)
    given_up = at(40, 1)
    one.run([given_up])
    one.deliver()
    with pytest.raises(AbandonedError, match="Too slow"):
        given_up.future.result(0)
    assert (one.alive, one.batch, one.answers) == (False, [], [])
    assert one._ledger.statistics.executions == 0


def test_what_is_given_up_and_then_fails_is_not_made_anew() -> None:
    def hang(_rows: int) -> None:
        one.abandon("Too slow.")
        raise RuntimeError("late")

    network = Network(hang)
    one = lone(network, [])
    one.run([at(40, 1)])
    assert one.runner is network
    assert not network.closed


def test_the_last_answers_are_given_before_its_thread_ends() -> None:
    for alive in (True, False):
        network = Network()
        one = lone(network, [])
        last = at(40, 1)
        one.run([last])
        one.alive = alive
        one._work()
        assert last.future.result(0).outputs["first"].tolist() == [1]
        assert network.closed == alive  # one that was given up may be running still


def test_one_job_alone_is_not_copied_and_several_are_in_order() -> None:
    alone = at(0, 1, 2)
    assert join([alone])["x"] is alone.inputs["x"]
    turned = Job({"x": np.zeros((4, 2), np.int64)[::2]}, 2, 0)
    assert join([turned])["x"].flags.c_contiguous
    jobs = [at(0, 1), at(0, 2, 3)]
    joined = join(jobs)["x"]
    assert joined[:, 0].tolist() == [1, 2, 3]
    first, second = split({"y": joined}, jobs)
    assert (first["y"][:, 0].tolist(), second["y"][:, 0].tolist()) == ([1], [2, 3])
    assert np.shares_memory(second["y"], joined)
    for shape in ((), (2,), (4, 1)):
        with pytest.raises(ValueError, match="for a batch of 3 rows"):
            split({"y": np.zeros(shape)}, jobs)


def test_a_job_knows_its_size_and_shape() -> None:
    one = Job({"a": np.zeros((2, 3), np.int16), "b": np.zeros((2,), np.int64)}, 2, 0)
    assert (one.size, one.shape) == (12 + 16, ((3,), ()))
    assert (one.priority, one.caller, one.deadline) == (1, "", None)


def test_a_model_that_closes_while_the_event_loop_runs_a_batch_is_closed_soon() -> None:
    """Its own thread sleeps meanwhile, and must be woken when the batch is done."""
    closed: list[Future[bool]] = []

    def act(_rows: int) -> None:
        if threading.current_thread() is threading.main_thread():
            closed.append(Future())
            threading.Thread(target=lambda: closed[0].set_result(one.close(3))).start()
            while not one._closing:
                time.sleep(0.001)

    async def ask() -> None:
        request = job(2)
        one.submit(request)
        await asyncio.wait_for(outcome_of(request.future), 5)

    with batcher(Network(act), here_seconds=5.0) as one:
        submit(one, 1).result(5)  # now it is known to be quick
        time.sleep(0.02)  # its own thread waits
        asyncio.run(ask())
        assert closed[0].result(5)


def test_answers_of_one_batch_wake_an_event_loop_once() -> None:
    async def gather() -> int:
        loop = asyncio.get_running_loop()
        woken: list[object] = []
        wake = loop.call_soon_threadsafe
        futures: list[Future[Outcome]] = [Future() for _ in range(3)]
        waits = [asyncio.ensure_future(outcome_of(future)) for future in futures]
        await asyncio.sleep(0)
        loop.call_soon_threadsafe = (  # type: ignore[method-assign]
            lambda *call, **more: woken.append(call) or wake(*call, **more)  # type: ignore[func-returns-value]
        )

        def finish() -> None:
            with together():
                for future in futures:
                    future.set_result(Outcome({}, Timing(0, 0, 0, 0, 1, 0)))

        thread = threading.Thread(target=finish)
        thread.start()
        thread.join()
        assert len(woken) == 1
        await asyncio.wait_for(asyncio.gather(*waits), 5)
        return len(woken)

    assert asyncio.run(gather()) == 1


def test_an_event_loop_that_is_gone_harms_nobody() -> None:
    async def begin() -> None:
        waits.append(asyncio.ensure_future(outcome_of(future)))
        await asyncio.sleep(0)

    future: Future[Outcome] = Future()
    waits: list[asyncio.Future[Outcome]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    with together():
        future.set_result(Outcome({}, Timing(0, 0, 0, 0, 1, 0)))
    assert not waits[0].done()
    waits[0].get_coro().close()  # type: ignore[attr-defined]  # of a task


def test_who_waits_no_more_does_not_keep_others_from_their_answers() -> None:
    async def wait() -> Outcome:
        futures: list[Future[Outcome]] = [Future(), Future()]
        for future in futures:
            future.set_running_or_notify_cancel()  # so that it cannot be taken back
        gone, other = (asyncio.ensure_future(outcome_of(future)) for future in futures)
        await asyncio.sleep(0)
        gone.cancel()

        def finish() -> None:
            with together():
                for future in futures:
                    future.set_result(Outcome({}, Timing(0, 0, 0, 0, 1, 0)))

        thread = threading.Thread(target=finish)
        thread.start()
        thread.join()
        return await asyncio.wait_for(other, 5)

    assert asyncio.run(wait()).timing.batch_rows == 1


def test_an_answer_outside_of_any_batch_wakes_at_once_and_errors_come_as_they_are() -> None:
    async def wait(future: Future[Outcome]) -> Outcome:
        return await asyncio.wait_for(outcome_of(future), 5)

    async def fail() -> None:
        refused: Future[Outcome] = Future()
        threading.Timer(0.01, refused.set_exception, [InferenceError("no")]).start()
        with pytest.raises(InferenceError):
            await wait(refused)
        gone: Future[Outcome] = Future()
        threading.Timer(0.01, gone.cancel).start()
        with pytest.raises(asyncio.CancelledError):
            await wait(gone)

    asyncio.run(fail())


def test_an_answer_that_an_event_loop_itself_has_made_needs_no_waking() -> None:
    async def make() -> None:
        loop = asyncio.get_running_loop()
        future: Future[Outcome] = Future()
        wait = asyncio.ensure_future(outcome_of(future))
        await asyncio.sleep(0)
        woken: list[object] = []
        loop.call_soon_threadsafe = lambda *call, **_: woken.append(call)  # type: ignore[method-assign,assignment,return-value]
        future.set_result(Outcome({}, Timing(0, 0, 0, 0, 1, 0)))
        await asyncio.wait_for(wait, 5)
        assert woken == []

    asyncio.run(make())


def test_a_batcher_that_is_idle_tells_what_there_is() -> None:
    network = Network()
    with batcher(network, network) as one:
        assert (one.alive, one.running, len(one.pending), one.expected_wait()) == (2, 0, 0, 0)
        assert not one.latency.known
        one.check_hangs()  # without a limit nothing is ever given up
        assert one.alive == 2

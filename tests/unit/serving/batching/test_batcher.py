"""The batcher: every caller gets its own rows, whatever runs beside them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lrn_deploy.serving.batching.job import Job
from lrn_deploy.serving.batching.policy import Adaptive, Fixed
from lrn_deploy.serving.batching.queue import PendingQueue
from lrn_deploy.serving.batching.rows import join
from lrn_deploy.serving.errors import UnavailableError
from tests.support.batching import Array, Network, batcher, submit


@pytest.mark.usefixtures("unmeasured")
def test_tens_of_thousands_of_tagged_rows_come_back_to_their_callers() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 5_000)  # some 22,000 rows
    starts = np.cumsum(sizes) - sizes
    networks = Network(), Network()
    mixed = Adaptive(8)
    with batcher(*networks, policy=mixed) as one:

        def caller(index: int) -> bool:
            tags = np.arange(starts[index], starts[index] + sizes[index])
            caller = str(index % 5)
            outputs = submit(one, *tags.tolist(), caller=caller).result(30).outputs
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


def test_an_answer_does_not_wait_until_the_next_batch_is_together() -> None:
    gate = threading.Event()
    network = Network(lambda _rows: gate.wait(5) and None)
    with batcher(network, policy=Fixed(8, delay_ns=60 * 10**9)) as one:
        full = submit(one, *range(8))
        while not network.batches:
            time.sleep(0.001)
        waiting = submit(one, 1)
        gate.set()
        assert full.result(5).outputs["first"].tolist() == list(range(8))
        assert not waiting.done()


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
        submit(one, 1, caller="flood")
        while not network.batches:
            time.sleep(0.001)
        older, newer = (submit(one, row, caller="flood") for row in (2, 3))
        with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
            one.refuse_if_full("flood")
        one.refuse_if_full("calm")
        calm = submit(one, 4, caller="calm")
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


def test_two_instances_halve_the_wait_for_those_before() -> None:
    gate = threading.Event()
    networks = [Network(lambda _rows: gate.wait(5) and None) for _ in "ab"]
    with batcher(*networks, policy=Adaptive(1)) as one:
        one.latency.add(1, 100e9)  # each row takes 100 s
        for _ in networks:
            submit(one, 1)
        while not all(network.batches for network in networks):
            time.sleep(0.001)
        submit(one, 2)
        assert one.expected_wait() == pytest.approx(50e9)
        submit(one, 3, timeout_ms=90_000)  # not refused at the door
        gate.set()


def test_nobody_waits_before_an_empty_queue_however_slow_the_network() -> None:
    with batcher(Network()) as one:
        one.latency.add(1, 100_001e6)
        one.latency.add(2, 100_002e6)  # 100 s for a batch, whatever is in it
        assert submit(one, 7, timeout_ms=5000).result(5).outputs["first"].item() == 7


def test_a_request_that_becomes_late_while_its_batch_is_put_together_does_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def put_together(batch: list[Job]) -> dict[str, Array]:
        for one in batch:
            if one.rows == 2:
                one.deadline = time.monotonic_ns() - 1
        return join(batch)

    monkeypatch.setattr("lrn_deploy.serving.batching.instance.join", put_together)
    gate = threading.Event()
    network = Network(lambda rows: gate.wait(5) and None if rows == 1 else None)
    with batcher(network) as one:
        first = submit(one, 1)
        while not network.batches:
            time.sleep(0.001)
        late, good = submit(one, 2, 2), submit(one, 3, 3, 3)
        gate.set()
        first.result(5)
        with pytest.raises(UnavailableError, match="expired before it ran"):
            late.result(5)
        assert good.result(5).outputs["first"].tolist() == [3, 3, 3]
        with pytest.raises(UnavailableError, match="expired before it ran"):
            submit(one, 4, 4).result(5)  # with nobody else in the batch
        assert submit(one, 5).result(5).outputs["first"].tolist() == [5]
    assert network.batches == [1, 3, 1]

"""Networks that raise, hang or lose rows, and a batcher that is closed: nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import numpy as np
import pytest

from lrn_deploy.serving.batching.policy import Adaptive, Fixed
from lrn_deploy.serving.errors import AbandonedError, ClosedError, InferenceError
from tests.support.batching import Array, Network, batcher, submit


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


def test_a_network_that_loses_rows_fails_the_batch() -> None:
    class Short(Network):
        def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            return {"double": feeds["x"][:1]}

    with (
        batcher(Short()) as one,
        pytest.raises(InferenceError, match=r"shape \[1, 2\] for a batch of 2 rows"),
    ):
        submit(one, 1, 2).result(5)


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


def test_a_request_to_a_model_that_is_unloaded_is_no_failure_of_it() -> None:
    with batcher(Network()) as one:
        assert one.close(5)
        with pytest.raises(ClosedError):
            submit(one, 1)  # whoever sent it asks the newer instance, which counts it
        assert one.statistics.failures == {}
        assert one.statistics.fail.count == 0


def test_closing_does_not_wait_for_company() -> None:
    network = Network()
    with batcher(network, policy=Fixed(8, delay_ns=60 * 10**9)) as one:
        future = submit(one, 1)
        assert one.close(5)
        assert future.result(0).outputs["first"].item() == 1


def test_a_network_that_makes_rows_up_fails_the_batch() -> None:
    class Long(Network):
        def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
            return {"double": np.concatenate([feeds["x"], feeds["x"]])}

    with batcher(Long()) as one, pytest.raises(InferenceError, match=r"\[4, 2\] for a batch of 2"):
        submit(one, 1, 2).result(5)


def test_a_network_is_given_up_once() -> None:
    gate = threading.Event()
    hanging = Network(lambda _rows: gate.wait(10) and None)
    changes: list[int] = []
    with batcher(hanging, hang_seconds=0.001, on_change=lambda: changes.append(1)) as one:
        submit(one, 1)
        while not hanging.batches:
            time.sleep(0.001)
        time.sleep(0.002)
        for _ in range(3):
            one.check_hangs()
        gate.set()
    assert changes == [1]

"""The loop that sends, against a server of the test's own on a clock of the test's own."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest

from lrn_deploy.load.drive import (
    ANSWERED,
    GONE_SECONDS,
    LOST,
    NO_ANSWER,
    NO_CONNECTION,
    Taken,
    drive,
)
from lrn_deploy.load.plans import ClosedLoop, OpenLoop
from tests.support.virtual_load import Virtual, steady


def run(sender: Virtual, plan: OpenLoop | ClosedLoop, timeout: float = 10.0) -> Taken:
    return drive(sender, plan, timeout=timeout, clock=sender.clock)


def test_an_open_loop_sends_each_at_its_time_whatever_becomes_of_the_others() -> None:
    arrivals = [0.5, 0.6, 0.6, 2.0]
    taken = run(Virtual(steady(3.0)), OpenLoop(arrivals))
    assert list(taken.due) == arrivals
    assert list(taken.sent) == pytest.approx(arrivals)
    assert list(taken.ended) == pytest.approx([at + 3 for at in arrivals])
    assert taken.outcomes == [ANSWERED] * 4
    assert taken.held == 0
    assert taken.stopped is None


def test_a_closed_loop_sends_the_next_when_one_has_ended() -> None:
    sender = Virtual(steady(0.25))
    taken = run(sender, ClosedLoop(2, seconds=1.0))
    assert sender.most_seen == 2
    assert list(taken.sent) == pytest.approx([0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75])


def stalling(_ticket: int, now: float) -> tuple[float, str]:
    """10 ms each, but nothing ends from second 51 to second 52: a stopped server."""
    end = now + 0.01
    return (52.0 + 0.01 if 51.0 <= end < 52.0 else end), ANSWERED


def test_a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one() -> None:
    closed = run(Virtual(stalling), ClosedLoop(1, seconds=3.0))
    slow = [b - a for a, b in zip(closed.sent, closed.ended, strict=True) if b - a > 0.1]
    assert len(slow) == 1  # of some 200
    arrivals = [at / 100 for at in range(300)]
    opened = run(Virtual(stalling), OpenLoop(arrivals))
    slow = [b - a for a, b in zip(opened.due, opened.ended, strict=True) if b - a > 0.1]
    assert len(slow) == pytest.approx(90, abs=2)  # each that was due until 0.1 s before its end
    assert max(slow) == pytest.approx(1.01, abs=0.02)


def test_when_as_many_as_may_be_are_under_way_the_others_are_held_and_their_time_counts() -> None:
    sender = Virtual(steady(1.0), most=1)
    taken = run(sender, OpenLoop([0.0, 0.1, 0.2]))
    assert sender.most_seen == 1
    assert list(taken.due) == [0.0, 0.1, 0.2]
    assert list(taken.sent) == pytest.approx([0.0, 1.0, 2.0])
    assert taken.held == 2


def test_a_generator_that_is_too_slow_is_late_and_knows_it() -> None:
    taken = run(Virtual(steady(0.001), cost=0.5), OpenLoop([0.0, 0.1, 0.2]))
    assert list(taken.sent) == pytest.approx([0.0, 0.5, 1.0])
    assert list(taken.due) == [0.0, 0.1, 0.2]
    assert taken.held == 0


def test_no_more_than_sixteen_go_before_answers_are_looked_for() -> None:
    sender, bursts = Virtual(steady(5.0)), [0]
    send, wait = sender.send, sender.wait

    def sent(ticket: int) -> None:
        bursts[-1] += 1
        send(ticket)

    def waited(seconds: float) -> Any:
        bursts.append(0)
        return wait(seconds)

    sender.send, sender.wait = sent, waited  # type: ignore[method-assign]  # to count them
    run(sender, OpenLoop([0.0] * 40))
    assert [burst for burst in bursts if burst] == [16, 16, 8]


def test_a_run_is_as_long_as_it_took_and_is_told_twenty_times_a_second() -> None:
    sender, told = Virtual(steady(0.5)), list[float]()
    plan = OpenLoop([at / 200 for at in range(200)])
    taken = drive(
        sender, plan, timeout=9.0, tell=lambda now, _: told.append(now), clock=sender.clock
    )
    assert taken.seconds == pytest.approx(0.995 + 0.5)
    assert len(told) == pytest.approx(1.495 / 0.05, abs=2)
    assert told == sorted(told)


@pytest.mark.parametrize("collecting", [True, False])
def test_nothing_is_collected_meanwhile_and_afterwards_as_before(collecting: bool) -> None:
    sender, seen = Virtual(steady(0.1)), set[bool]()
    assert gc.isenabled()
    if not collecting:
        gc.disable()
    try:
        drive(
            sender,
            OpenLoop([0.0, 0.2]),
            timeout=1.0,
            tell=lambda _now, _taken: seen.add(gc.isenabled()),
            clock=sender.clock,
        )
        assert (seen, gc.isenabled()) == ({False}, collecting)
    finally:
        gc.enable()


def test_its_own_processor_time_is_counted() -> None:
    """No more than has passed: what the process took before is none of this load's."""
    before = time.process_time()
    taken = run(Virtual(steady(3.0)), OpenLoop([0.1] * 200))
    assert 0 < taken.cpu_seconds <= time.process_time() - before


def test_an_answer_is_not_waited_for_without_end() -> None:
    sender = Virtual(steady(100.0))
    taken = run(sender, OpenLoop([0.0, 0.5]), timeout=2.0)
    assert taken.outcomes == [NO_ANSWER] * 2
    assert list(taken.ended) == pytest.approx([2.0, 2.5], abs=0.06)
    assert sender.abandoned == [0, 1]


def test_a_server_that_takes_no_connection_has_gone() -> None:
    def dying(_ticket: int, now: float) -> tuple[float, str]:
        return (now + 0.01, ANSWERED) if now < 51.0 else (now, NO_CONNECTION)

    for plan in (ClosedLoop(4, seconds=60.0), OpenLoop([at / 100 for at in range(6000)])):
        taken = run(Virtual(dying), plan)
        assert taken.gone
        assert taken.stopped == pytest.approx(1.0 + GONE_SECONDS, abs=0.1)
        assert taken.outcomes.count(ANSWERED) > 90
        if isinstance(plan, ClosedLoop):  # which waits a little after each refusal
            assert taken.outcomes.count(NO_CONNECTION) < 4 * 3 / 0.05


def test_one_that_never_took_any_has_gone_as_soon() -> None:
    taken = run(Virtual(lambda _ticket, now: (now, NO_CONNECTION)), ClosedLoop(1, seconds=60.0))
    assert taken.gone
    assert taken.stopped == pytest.approx(GONE_SECONDS, abs=0.1)


def test_one_that_comes_back_in_time_has_not() -> None:
    def restarted(_ticket: int, now: float) -> tuple[float, str]:
        away = 51.0 <= now < 51.0 + 0.9 * GONE_SECONDS
        return (now, NO_CONNECTION) if away else (now + 0.01, ANSWERED)

    taken = run(Virtual(restarted), OpenLoop([at / 100 for at in range(600)]))
    assert not taken.gone
    assert taken.outcomes.count(NO_CONNECTION) == pytest.approx(180, abs=2)


def test_a_server_that_is_stopped_has_not_gone() -> None:
    """Its connections are lost or silent, but somebody still takes them."""

    def silent(_ticket: int, now: float) -> tuple[float, str]:
        return now + 0.5, LOST

    taken = run(Virtual(silent), OpenLoop([float(at) for at in range(10)]))
    assert not taken.gone
    assert taken.outcomes == [LOST] * 10


def test_ctrl_c_keeps_what_was_taken() -> None:
    sender = Virtual(steady(0.1))

    def tell(now: float, _taken: Taken) -> None:
        if now > 1.0:
            raise KeyboardInterrupt

    taken = drive(sender, ClosedLoop(1, seconds=60.0), timeout=1.0, tell=tell, clock=sender.clock)
    assert taken.interrupted
    assert taken.stopped == pytest.approx(1.0, abs=0.1)
    assert 9 <= taken.outcomes.count(ANSWERED) <= 11

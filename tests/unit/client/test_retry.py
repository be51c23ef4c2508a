"""When a request is sent again, by a clock and a die of the test's own."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from lrn_deploy.client.errors import (
    ClientError,
    DeadlineError,
    InvalidRequestError,
    LostError,
    TooManyRequestsError,
    UnavailableError,
    UnreachableError,
)
from lrn_deploy.client.retry import NEVER, Budget, Retry
from lrn_deploy.errors import BadInputError

BUSY = UnavailableError("The queue is full.", status=503, retry_after=0.0)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def highest(_low: float, high: float) -> float:
    return high


def test_waits_double_up_to_the_most_and_attempts_end() -> None:
    attempts = Retry(attempts=5, first=0.1, most=0.5, draw=highest).begin(None)
    waits = []
    for _ in range(4):
        assert attempts.remaining() is None
        waits.append(attempts.wait(BUSY))
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5])
    attempts.remaining()
    with pytest.raises(UnavailableError):
        attempts.wait(BUSY)


def test_where_nothing_is_said_three_more_are_sent_after_a_tenth_of_a_second_and_doubled() -> None:
    attempts = Retry(draw=highest).begin(None)
    waits = []
    for _ in range(3):
        attempts.remaining()
        waits.append(attempts.wait(BUSY))
    assert waits == pytest.approx([0.1, 0.2, 0.4])
    attempts.remaining()
    with pytest.raises(UnavailableError):
        attempts.wait(BUSY)
    patient = Retry(attempts=9, draw=highest, budget=Budget(100)).begin(None)
    for _ in range(8):
        patient.remaining()
        waits.append(patient.wait(BUSY))
    assert waits[3:] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])


def test_where_nothing_is_said_four_failures_of_ten_tokens_are_sent_again() -> None:
    budget = Budget()
    assert [budget.failed() for _ in range(5)] == [True] * 4 + [False]
    for _ in range(10):
        budget.answered()
    assert budget.tokens == pytest.approx(6)


def test_waits_are_drawn_from_nothing_on() -> None:
    attempts = Retry(draw=lambda low, _high: low).begin(None)
    attempts.remaining()
    assert attempts.wait(BUSY) == 0.0


def test_the_servers_own_wait_is_kept() -> None:
    attempts = Retry(first=0.1, draw=highest).begin(None)
    attempts.remaining()
    error = TooManyRequestsError("Too many.", status=429, retry_after=2.0)
    assert attempts.wait(error) == pytest.approx(2.1)


@pytest.mark.parametrize(
    ("error", "repeatable", "again"),
    [
        (BUSY, True, True),
        (BUSY, False, True),  # it has done nothing
        (UnavailableError("No.", status=503), True, False),  # it does not say when to come back
        (UnreachableError("Nobody."), False, True),
        (LostError("Gone."), True, True),
        (LostError("Gone."), False, False),  # it may have done it
        (InvalidRequestError("Wrong.", status=400), True, False),
        (DeadlineError("Late."), True, False),
    ],
)
def test_only_what_is_safe_is_sent_again(error: ClientError, repeatable: bool, again: bool) -> None:
    attempts = Retry(draw=highest).begin(None, repeatable=repeatable)
    attempts.remaining()
    if again:
        assert attempts.wait(error) > 0
    else:
        with pytest.raises(type(error)):
            attempts.wait(error)


def test_the_deadline_is_that_of_all_attempts() -> None:
    clock = Clock()
    attempts = Retry(first=0.1, draw=highest, clock=clock).begin(1.0)
    assert attempts.remaining() == 1.0  # exactly, so that each request says the same
    clock.now += 0.3
    attempts.wait(BUSY)
    assert attempts.remaining() == pytest.approx(0.7)
    clock.now += 0.6  # 0.1 s are left, and the next wait would be 0.2 s
    with pytest.raises(UnavailableError):
        attempts.wait(BUSY)
    clock.now += 0.2
    with pytest.raises(DeadlineError, match="no answer within 1 s") as caught:
        attempts.remaining()
    assert "timeout=" in caught.value.hint


def test_a_deadline_has_passed_when_it_is_reached() -> None:
    clock = Clock()
    attempts = Retry(first=0.5, draw=highest, clock=clock).begin(1.0)
    attempts.remaining()
    clock.now += 0.5
    with pytest.raises(UnavailableError):  # the wait would end with it
        attempts.wait(BUSY)
    clock.now += 0.5
    with pytest.raises(DeadlineError):
        attempts.remaining()


def test_what_is_asked_may_be_asked_twice_unless_it_is_said_otherwise() -> None:
    attempts = Retry(draw=highest).begin(None)
    attempts.remaining()
    assert attempts.wait(LostError("Gone.")) > 0


def test_a_server_that_says_first_that_the_time_is_up_makes_no_other_error() -> None:
    clock = Clock()
    attempts = Retry(clock=clock).begin(1.0)
    attempts.remaining()
    clock.now += 1.0
    expired = UnavailableError("Request timeout expired.", status=503, retry_after=0.0)
    with pytest.raises(DeadlineError, match="within 1 s") as caught:
        attempts.wait(expired)
    assert caught.value.__cause__ is expired


def test_a_server_in_trouble_gets_few_requests_more() -> None:
    """Of 100 requests that fail without end four are sent again, then the bucket is half empty."""
    retry = Retry(attempts=100, draw=highest, budget=Budget(tokens=10, ratio=0.1))
    again = 0
    for _ in range(100):
        attempts = retry.begin(None)
        with pytest.raises(UnavailableError):  # noqa: PT012 - the loop ends by it
            while True:
                attempts.remaining()
                attempts.wait(BUSY)
                again += 1
    assert again == 4  # 10 - 1 = 9, 8, 7, 6 are above half; 5 is not
    assert retry.budget.tokens == 0


def test_answers_fill_the_budget_and_never_over_it() -> None:
    budget = Budget(tokens=10, ratio=0.1)
    for _ in range(7):
        budget.failed()
    assert budget.tokens == pytest.approx(3.0)
    for _ in range(31):
        budget.answered()
    assert budget.tokens == pytest.approx(6.1)
    for _ in range(100):
        budget.answered()
    assert budget.tokens == 10


def test_a_refusal_is_an_answer() -> None:
    retry = Retry(budget=Budget(tokens=10, ratio=1.0))
    retry.budget.failed()
    attempts = retry.begin(None)
    attempts.remaining()
    with pytest.raises(InvalidRequestError):
        attempts.wait(InvalidRequestError("Wrong.", status=400))
    assert retry.budget.tokens == 10
    retry.budget.failed()
    attempts.answered()
    assert retry.budget.tokens == 10


def test_threads_share_a_budget() -> None:
    budget = Budget(tokens=1e6, ratio=0.5)

    def fail() -> None:
        for _ in range(2000):
            budget.failed()
            budget.answered()

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.tokens == pytest.approx(1e6 - 4 * 2000 * 0.5)


def test_never_sends_nothing_again() -> None:
    attempts = NEVER.begin(None)
    attempts.remaining()
    with pytest.raises(UnavailableError):
        attempts.wait(BUSY)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Retry(attempts=0), "attempts=0"),
        (lambda: Retry(first=2, most=1), "first=2"),
        (lambda: Retry(first=-0.5), "first=-0.5"),
        (lambda: Retry(factor=0.5), "factor=0.5"),
        (lambda: Budget(tokens=0), "tokens above 0"),
        (lambda: Budget(ratio=-0.5), "ratio of 0 or more"),
        (lambda: Retry().begin(0), "above 0 seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        make()  # type: ignore[operator]  # a class or a function


def test_what_only_just_makes_sense_is_taken() -> None:
    budget = Budget(tokens=0.5, ratio=0)
    budget.answered()
    assert budget.tokens == 0.5
    attempts = Retry(first=0, most=0, factor=1, draw=highest).begin(None)
    attempts.remaining()
    assert attempts.wait(BUSY) == 0
    assert Retry(first=1, most=1).first == 1

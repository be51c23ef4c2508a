"""Where the time went and how much is left, on a clock that the test turns."""

from __future__ import annotations

import pytest

from lrn_deploy.tuning.ledger import TYPICAL, Ledger, about


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_measured_foretells_its_kind_and_the_pace_foretells_the_rest() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    assert ledger.left({"making": 2}) == pytest.approx(2 * TYPICAL["making"])
    for seconds in (10.0, 22.0):  # 16 on average, twice what is typical
        with ledger.step("making"):
            clock.now += seconds
    assert ledger.seconds == {"making": 32.0}
    assert ledger.left({"making": 3}) == pytest.approx(48.0)
    assert ledger.left({"judging": 1}) == pytest.approx(2 * TYPICAL["judging"])
    assert ledger.left({"making": 1, "judging": 1}) == pytest.approx(16.0 + 2 * TYPICAL["judging"])


def test_several_steps_at_once_share_their_time_and_a_failed_one_counts() -> None:
    clock = Clock()
    ledger = Ledger(clock)

    def work() -> None:
        with ledger.step("validating", 4):
            clock.now += 20.0
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert ledger.left({"validating": 1}) == pytest.approx(5.0)
    assert ledger.steps == 4


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "about 5 s left"),
        (13, "about 15 s left"),
        (118, "about 120 s left"),
        (120, "about 2 min left"),
        (140, "about 2.5 min left"),
        (300, "about 5 min left"),
    ],
)
def test_seconds_are_said_roughly(seconds: float, said: str) -> None:
    assert about(seconds) == said

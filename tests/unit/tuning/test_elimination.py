"""Who leaves a race, on times made up so that the answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from lrn_deploy.tuning.elimination import farewell, remaining


def rounds(ms: float, count: int, spread: float = 0.0, seed: int = 0) -> list[list[float]]:
    drawn = np.random.default_rng(seed).normal(1, spread, count)
    return [[ms / 1e3 * value] for value in drawn]


def race(count: int, **ms: float) -> dict[str, list[list[float]]]:
    return {name: rounds(value, count, 0.01, at) for at, (name, value) in enumerate(ms.items())}


def test_the_surely_slower_leave_and_the_close_stay() -> None:
    # Eight rounds with 1 % of spread: 10 % is beyond doubt, 1.5 % is within the margin of 3 %.
    assert remaining(race(8, fast=4.0, close=4.06, slow=4.4)) == {"fast", "close"}


@pytest.mark.parametrize("count", [1, 4, 7, 9, 10, 11])
def test_nobody_leaves_before_the_first_look_or_between_two(count: int) -> None:
    assert remaining(race(count, fast=4.0, slow=40.0)) == {"fast", "slow"}


def test_a_leader_alone_ends_the_race_only_when_it_is_settled_and_quiet() -> None:
    assert remaining(race(8, fast=4.0)) == {"fast"}
    assert remaining(race(12, fast=4.0)) == set()
    noisy = {"fast": rounds(4.0, 12, 0.3, 5)}
    assert remaining(noisy) == {"fast"}


def test_two_that_cannot_be_told_apart_go_on() -> None:
    assert remaining(race(40, one=4.0, other=4.0)) == {"one", "other"}


def test_a_slow_spell_of_the_machine_lets_nobody_leave() -> None:
    """Half of the rounds took both ten times as long, so their ratio stays 1."""
    slowed = [
        [value * (10 if at % 2 else 1) for value in one] for at, one in enumerate(rounds(4, 8))
    ]
    assert remaining({"one": slowed, "other": slowed}) == {"one", "other"}


def test_whoever_left_hears_how_much_slower_it_was() -> None:
    said = farewell(rounds(6.0, 8), rounds(4.0, 12))
    assert said == ("left the race after 8 rounds: 1.5 times as long as the fastest, at least 1.5")
    assert farewell(rounds(6.0, 12), rounds(4.0, 12)) == ""


def test_nothing_raced_is_nobody() -> None:
    assert remaining({}) == set()

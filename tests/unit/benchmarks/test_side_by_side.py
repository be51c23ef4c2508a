"""Servers side by side: what is made of their figures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.contenders import CONTENDERS, FURTHER
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.runtimes.draw import between
from benchmarks.serve import side_by_side
from benchmarks.serve.draw import DETAILS
from benchmarks.serve.draw_side_by_side import CALLED, FILE, recorded, table
from benchmarks.serve.side_by_side import ALL, ENVIRONMENTS, compared, rotated, verdicts

THEIRS = "kserve"


def result(per_second: float = 0.5, latency: float = 2.0) -> dict[str, Any]:
    """Ours, and another with so many times our throughput and our latency."""
    rng = np.random.default_rng(0)
    rates = rng.normal(100, 1, 6)
    times = rng.exponential(10, (6, 30))
    return {
        "saturated_per_second": {
            "lrn-server": list(rates),
            THEIRS: list(per_second * rates),
        },
        "half_load_ms": {
            "lrn-server": [list(each) for each in times],
            THEIRS: [list(latency * each) for each in times],
        },
        "memory_bytes": {
            "lrn-server": {"ready": 100, "after": 200},
            THEIRS: {"ready": 100, "after": 500},
        },
        "cold_start_s": {"lrn-server": [1.0, 1.2, 1.1, 1.0, 0.9], THEIRS: [2, 2.4, 2.2, 2, 1.8]},
    }


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough where all rounds have the same ratio."""
    monkeypatch.setattr(side_by_side, "DRAWS", 100)


@pytest.mark.usefixtures("few_draws")
def test_each_figure_is_held_against_ours_round_by_round() -> None:
    told = compared(result())[THEIRS]
    for figure, ratio in (("per_second", 0.5), ("p50_ms", 2.0), ("p99_ms", 2.0)):
        one = told[figure]
        assert [one["low"], one["ratio"], one["high"]] == pytest.approx([ratio] * 3)
    assert told["cold_start_s"]["ratio"] == pytest.approx(2)
    assert told["memory_bytes"] == {"value": 500, "ratio": 2.5}
    assert compared(result())["lrn-server"]["p99_ms"]["ratio"] == 1


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(
    ("figures", "first", "no_worse"),
    [
        ({}, True, True),
        ({"per_second": 1.01}, False, True),
        ({"latency": 0.8}, True, False),
        ({"latency": 1.0}, True, True),
    ],
)
def test_a_peer_that_is_ahead_is_told(
    figures: dict[str, float], first: bool, no_worse: bool
) -> None:
    found = result(**figures)
    assert verdicts({"compared": compared(found)}) == {
        "first in throughput": first,
        "p99 no worse than the best": no_worse,
    }


def test_the_order_rotates_and_nobody_is_left_out() -> None:
    assert rotated("abc", 1) == ["b", "c", "a"]
    assert rotated("abc", 5) == ["c", "a", "b"]
    assert ALL[: len(CONTENDERS)] == CONTENDERS
    assert set(ENVIRONMENTS) <= set(REQUIREMENTS)


def test_answers_in_bytes_and_in_numbers_are_read() -> None:
    named = {one.name: one for one in ALL}
    row = np.array([[0.5, -1.25, 3.0]], np.float32)
    others = np.array([[0.5, -1.25, 3.5]], np.float32)
    written = {
        "bentoml": json.dumps(row.tolist()).encode(),
        "mlserver": json.dumps({"outputs": [{"data": row.ravel().tolist()}]}).encode(),
        "kserve": b'{"outputs": []}' + row.tobytes(),
        "ray serve": row.tobytes(),
    }
    assert {one.name for one in FURTHER} < set(written)
    for name, body in written.items():
        assert named[name].right(row, body)
        assert not named[name].right(others, body)


@pytest.mark.usefixtures("few_draws")
def test_the_table_has_a_row_for_each_server() -> None:
    told = result()
    for part in ("saturated_per_second", "half_load_ms", "memory_bytes", "cold_start_s"):
        told[part] |= {name: told[part][THEIRS] for name in CALLED if name not in told[part]}
    about = {
        "machine": {"processor": "P", "cores": 2},
        "date": "2026-01-02",
        "quiet": {"quiet": True},
        "max_batch": 16,
        "offered_per_second": 25.0,
    }
    text = table(told | about)
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(CALLED) == len(ALL)
    assert "<br>2.00 (2.00 to 2.00)" in rows[-1]
    assert text.endswith("first in throughput: yes; p99 no worse than the best: yes.")


@pytest.mark.skipif(not FILE.exists(), reason="made by python -m benchmarks.serve")
def test_the_documentation_is_what_was_recorded() -> None:
    text = DETAILS.read_text(encoding="utf-8")
    assert between(text, "side-by-side", table(recorded())) == text, (
        "draw it again: python -m benchmarks.serve.draw_side_by_side"
    )

"""The recorded comparison says what its own samples say."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from benchmarks.harness import RESULTS
from benchmarks.runtimes.recorded import judged_again
from lrn_deploy.latency import statistics

pytestmark = pytest.mark.usefixtures("unmeasured")

RESULT: dict[str, Any] = json.loads((RESULTS / "runtimes.json").read_text(encoding="utf-8"))


RATIOS = ("speedup", "by_round")


def verdicts(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            row["peer"],
            row["verdict"],
            *(row[ratio][key] for ratio in RATIOS for key in ("low", "estimate", "high")),
        )
        for network in result["networks"]
        for batch in network["batches"]
        for class_ in batch["classes"]
        for row in class_["verdicts"]
    ]


@pytest.fixture(autouse=True)
def _each_candidate_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every verdict that it takes part in."""
    draw = statistics._draw_medians
    drawn = functools.cache(lambda rounds, seed: draw(rounds, seed))
    monkeypatch.setattr(
        statistics, "_draw_medians", lambda rounds, seed: drawn(tuple(map(tuple, rounds)), seed)
    )


def test_every_verdict_follows_from_the_samples() -> None:
    again = judged_again(RESULT)
    for told, made in zip(verdicts(RESULT), verdicts(again), strict=True):
        assert told[:2] == made[:2]
        assert told[2:] == pytest.approx(made[2:], rel=1e-4)
    assert [aim["met"] for aim in again["aims"]] == [aim["met"] for aim in RESULT["aims"]]
    assert len(again["losses"]) == len(RESULT["losses"])


def test_slower_samples_make_a_loss() -> None:
    spoilt = json.loads(json.dumps(RESULT))
    spoilt["networks"] = spoilt["networks"][:1]
    spoilt["networks"][0]["batches"] = spoilt["networks"][0]["batches"][:1]
    batch = spoilt["networks"][0]["batches"][0]
    ours = batch["classes"][0]["ours"]
    for timing in batch["timings"]:
        if timing["candidate"] == ours:
            timing["samples_s"] = [[10 * value for value in one] for one in timing["samples_s"]]
    again = judged_again(spoilt)
    assert any(item["ours"] == ours and item["batch"] == 1 for item in again["losses"])
    assert not all(aim["met"] for aim in again["aims"])

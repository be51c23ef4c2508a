"""What the benchmark of tune makes of its runs, and that the documentation tells it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.tune_time import PAGE, RESULT, judged, redraw, sentence, summary


def run(way: str, seconds: float, artifact: str, made: int) -> dict[str, Any]:
    choice = {"artifact": artifact, "backend": "openvino:cpu", "threads": 2, "error": 0.02}
    phases = {"making": seconds / 2, "racing": seconds / 2}
    return {"way": way, "seconds": seconds, "phases": phases, "made": made, "choice": choice}


RUNS = [
    run("quick", 100.0, "openvino-int8", 5),
    run("thorough", 300.0, "openvino-int8", 15),
    run("quick", 160.0, "openvino-w8", 6),
]
RACE = {
    "openvino-int8 on openvino:cpu, 2 threads": [[0.004]] * 10,
    "openvino-w8 on openvino:cpu, 2 threads": [[0.005]] * 10,
}


def result() -> dict[str, Any]:
    return {"machine": {"cores": "2", "processor": "X"}, **judged(RUNS, RACE)}


def test_the_ratio_is_of_the_choices_and_both_aims_can_fail() -> None:
    told = summary(result())
    assert told["worst_ratio"] == pytest.approx(1.25)  # 5 of 4 ms
    assert (told["within"], told["fast_enough"], told["of"]) == (1, 1, 2)
    assert told["quick_s"]["median"] == 130.0
    assert told["quick_phases_s"] == {"making": 65.0, "racing": 65.0}


def test_the_sentence_has_the_figures() -> None:
    said = sentence(result())
    assert "130 s (100 to 160 in 2 runs, 6 variants made), with `--thorough` 300 s" in said
    assert said.endswith("at most 1.25 times as long.")


def test_the_documentation_tells_what_was_measured() -> None:
    if not RESULT.is_file():
        pytest.skip("it was not measured yet")
    page = PAGE.read_text(encoding="utf-8")
    assert redraw(page, json.loads(RESULT.read_text(encoding="utf-8"))) == page


def test_the_page_has_a_place_for_the_sentence() -> None:
    drawn = redraw(PAGE.read_text(encoding="utf-8"), result())
    assert sentence(result()) in " ".join(drawn.split())
    assert redraw(drawn, result()) == drawn

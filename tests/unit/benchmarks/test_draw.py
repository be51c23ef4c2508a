"""What is drawn from a result, and that the documentation is what was drawn."""

from __future__ import annotations

import json
import os
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.runtimes.candidates import Side
from benchmarks.runtimes.chart import chart
from benchmarks.runtimes.draw import CHART, PAGES, RESULT, between, redraw
from benchmarks.runtimes.verdicts import CLASSES, Measured, aims, judge_class, losses

SVG = "{http://www.w3.org/2000/svg}"


def network() -> dict[str, Any]:
    """AlexNet with one of ours and two peers, one of which is faster and too coarse for fp32."""
    speeds: dict[str, tuple[Side, float, float]] = {
        "own | a": ("ours", 0.008, 0.0),
        "torch eager": ("peer", 0.016, 0.0),
        "OpenVINO, bf16": ("peer", 0.004, 4e-3),
    }
    candidates = [
        Measured(name, side, "a runtime", error, 1.0, [[seconds]] * 5)
        for name, (side, seconds, error) in speeds.items()
    ]
    batches = [
        {
            "batch": batch,
            "quiet": batch == 1,
            "timings": [
                {"candidate": item.name, "ms_per_image": {"median": 1e3 * item.seconds / batch}}
                for item in candidates
            ],
            "classes": [judge_class(candidates, "own | a", "alexnet", name) for name in CLASSES],
        }
        for batch in (1, 8)
    ]
    return {
        "network": "alexnet",
        "weights": "random",
        "calibration": "some",
        "judged_on": "others",
        "candidates": [
            {
                "name": item.name,
                "side": item.side,
                "error": {"relative_l2": item.relative_l2, "top1_agreement": 1.0},
            }
            for item in candidates
        ]
        + [{"name": "torch.compile", "side": "peer", "reason": "no compiler"}],
        "batches": batches,
    }


def result() -> dict[str, Any]:
    networks = [network()]
    return {
        "date": "2026-01-02",
        "machine": {"processor": "A processor", "cores": "2", "memory_gib": 8.0},
        "versions": {"torch": "2.0"},
        "load": {"quiet_runs": 1, "runs": 2},
        "aims": aims(networks),
        "losses": losses(networks),
        "networks": networks,
    }


PAGE = (
    "before\n<!-- peers:begin -->\nold\n<!-- peers:end -->\nmiddle\n"
    "<!-- peers-details:begin -->\n<!-- peers-details:end -->\nafter\n"
)


def test_the_table_has_the_choice_the_best_peer_and_the_verdict() -> None:
    text = redraw(PAGE, result(), "performance.svg")
    rows = [line for line in text.splitlines() if line.startswith("| alexnet | 1 |")]
    assert rows == [
        "| alexnet | 1 | 1e-05 | own \\| a | 8 | torch eager | 16 | 2.00 (2.00 to 2.00) | ahead |",
        "| alexnet | 1 | 0.03 | own \\| a | 8 | OpenVINO, bf16 | 4 | 0.50 (0.50 to 0.50) | "
        "**behind** |",
    ]
    assert "A processor, 2 cores" in text
    assert "](performance.svg)" in text


def test_losses_and_what_did_not_run_are_listed() -> None:
    text = redraw(PAGE, result(), "performance.svg")
    loss = "- alexnet, batch 8, reduced: own | a is 0.50 (0.50 to 0.50) times as fast as OpenVINO"
    assert loss in text
    assert "did not run: no compiler" in text
    assert ", not quiet |" in text
    assert "2 of 4 choices are" in text
    assert "2 are the fastest of all" in text


def test_what_stands_around_the_comments_stays_and_drawing_twice_changes_nothing() -> None:
    once = redraw(PAGE, result(), "performance.svg")
    assert once.startswith("before\n")
    assert "\nmiddle\n" in once
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert redraw(once, result(), "performance.svg") == once


@pytest.mark.parametrize("page", ["no comments", "<!-- peers:begin --> and no end"])
def test_a_page_without_both_comments_is_left_alone(page: str) -> None:
    assert between(page, "peers", "table") == page


def test_bars_are_as_long_as_their_times_and_ours_stand_out() -> None:
    root = ElementTree.fromstring(chart(result()))
    bars = {}
    for group in root.iter(f"{SVG}g"):
        label, bar = group.findall(f"{SVG}text")[0], group.find(f"{SVG}rect")
        assert bar is not None
        bars.setdefault(label.text, (bar.attrib["class"], float(bar.attrib["width"])))
    assert bars["lrn-deploy: own | a"][0] == "ours"
    assert bars["torch eager"][0] == "peer"
    # At batch 1: 8, 16 and 4 ms.
    own, eager, bf16 = (
        bars[name][1] for name in ("lrn-deploy: own | a", "torch eager", "OpenVINO, bf16")
    )
    assert eager == pytest.approx(2 * own, rel=1e-3)
    assert bf16 == pytest.approx(own / 2, rel=1e-3)
    assert "error 4.0e-03" in [item.text for item in root.iter(f"{SVG}tspan")]


def test_the_documentation_is_what_the_recorded_result_gives() -> None:
    recorded = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else None
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        path = os.path.relpath(CHART, page.parent)
        assert redraw(text, recorded, path) == text, f"{page.name}: draw it again"
    drawn = chart(recorded) if recorded else ""
    there = CHART.read_text(encoding="utf-8") if CHART.is_file() else ""
    assert there == drawn, "draw the chart again: python -m benchmarks.runtimes.draw"

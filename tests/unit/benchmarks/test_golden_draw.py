"""The page tells what ``make golden`` measured, and its figures follow from the recorded rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.golden.draw import PAGE, RESULT, redraw, table
from benchmarks.golden.faults import FAULTS, all_caught


def net(scale: float = 1.0) -> dict[str, Any]:
    layers = {"norm1": {"median": 1.05, "p99": 2.0, "max": 3.0 * scale}}
    return {
        "opencv": "4.14.0",
        "answers": {"worst_fc8_relative_l2": 1.7e-5},
        "zoo_relative_l2": {"face": 3e-7, "cat": 4e-7},
        "denominators": {"face": layers, "cat": layers},
        "faults": [
            {"fault": "none", "caught_by": []},
            {
                "fault": "no LRN",
                "in": ["norm1", "norm2"],
                "logits_relative_l2": {"face": 0.29 * scale, "cat": 1.05},
                "caught_by": ["outputs on images"],
            },
            {
                "fault": "no LRN",
                "in": ["norm1"],
                "logits_relative_l2": {"face": 9.0, "cat": 9.0},
                "caught_by": ["LRN alone: norm1"],
            },
        ],
        "precisions": [
            {
                "artifact": "cpu-int8",
                "backend": "onnxruntime:cpu",
                "relative_l2": 0.0123,
                "top1_agreement": 0.984,
            }
        ],
        "import": {"seconds_median": 0.25, "memory_risen_over_size": 1.26},
        "tune": {
            "max_error": 0.03,
            "choice": "openvino-int8 on openvino:cpu, 2 threads",
            "milliseconds": 1.26,
            "model_milliseconds": {"onnxruntime:cpu": 9.04},
        },
    }


def test_each_figure_stands_under_its_network() -> None:
    rows = table({"networks": {"age": net(), "gender": net(2.0)}}).splitlines()
    assert rows[0] == "|  | age | gender |"
    assert rows[3].endswith("| 4.0e-07 | 4.0e-07 |")
    assert "| norm1 divides by: median, 99th percentile, most | 1.05, 2.00, 3.00 |" in rows[4]
    assert "| 0.29 to 1.05 | 0.58 to 1.05 |" in rows[5], "the fault in both layers counts"
    assert rows[6].endswith("| 1 of 2 | 1 of 2 |"), "an LRN alone is no photograph"
    assert "1.2e-02, 98.4%" in rows[7]
    assert rows[8].endswith("| 0.25, 1.3 | 0.25, 1.3 |")
    assert "openvino-int8 on openvino:cpu, 2 threads: 1.3 (as imported 9.0 on onnx" in rows[9]


def test_openface_is_told_by_its_worst_photograph() -> None:
    page = "<!-- trained:begin -->\n<!-- trained:end -->"
    found = {"opencv": "4.14.0", "relative_l2": {"face": 3.2e-6, "cat": 4.1e-6}}
    drawn = redraw(page, {"networks": {"age": net()}, "openface": found})
    assert "is within\n4.1e-06 of OpenCV 4.14.0 on the same photographs." in drawn


def test_the_page_tells_what_was_measured() -> None:
    page = PAGE.read_text(encoding="utf-8")
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert redraw(page, result) == page
    assert table(result) in page


@pytest.mark.parametrize("name", ["age", "gender"])
def test_the_recorded_aims_follow_from_the_recorded_rows(name: str) -> None:
    recorded = json.loads(RESULT.read_text(encoding="utf-8"))["networks"][name]
    faults = recorded["faults"]
    assert {row["fault"] for row in faults} == {"none", *FAULTS}
    assert all_caught(faults) == recorded["aims"]["every fault of LRN caught on photographs"]
    errors = [row["fc8_relative_l2"] for row in recorded["answers"]["images"].values()]
    assert max(errors) <= recorded["answers"]["budget"] == 5e-5
    assert all(recorded["aims"].values())

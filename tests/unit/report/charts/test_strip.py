"""The strip of layers: colours at the ends of their scales, heights, signs, and what is missing."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from lrn_deploy.report.charts.strip import (
    BUDGET_LINE,
    DENSE,
    DRIFT_STEPS,
    TIME_STEPS,
    TRACK,
    Cell,
    legend,
    step,
    strip,
)


def cell(**changes: Any) -> Cell:
    fields = {
        "name": "conv1",
        "kind": "Conv",
        "marked": False,
        "used": 0.05,
        "verdict": "pass",
        "share": 0.2,
        "told": "conv1",
    }
    return Cell(**{**fields, **changes})


def drawn(*cells: Cell) -> list[ElementTree.Element]:
    """The drawings of the cells, in order."""
    found = re.findall(r"<svg.*?</svg>", strip(cells, "Layers"))
    return [ElementTree.fromstring(svg) for svg in found]


def bars(svg: ElementTree.Element) -> dict[str, float]:
    """Height of each bar by the class of its colour."""
    return {
        shape.attrib["class"].removeprefix("heat "): float(shape.attrib["height"])
        for shape in svg.iter("rect")
        if shape.attrib["class"].startswith("heat")
    }


@pytest.mark.parametrize(
    ("used", "colour"),
    [
        *((0.0, 0), (0.001, 0), (0.0011, 1), (0.05, 2), (0.5, 3), (1.0, 3)),
        *((1.001, 4), (float("inf"), 4), (float("nan"), 4)),
    ],
)
def test_the_colour_of_an_error_over_its_budget(used: float, colour: int) -> None:
    assert step(used, DRIFT_STEPS) == colour
    assert f"drift{colour}" in bars(*drawn(cell(used=used)))


@pytest.mark.parametrize(
    ("share", "colour"), [(0.0, 0), (0.01, 0), (0.02, 1), (0.1, 2), (0.3, 3), (0.31, 4), (1, 4)]
)
def test_the_colour_of_a_part_of_the_run(share: float, colour: int) -> None:
    assert step(share, TIME_STEPS) == colour
    assert f"time{colour}" in bars(*drawn(cell(share=share)))


def test_a_bar_says_by_its_height_what_its_colour_says() -> None:
    low, budget, over, worst = (
        bars(svg) for svg in drawn(*(cell(used=value) for value in (0.0, 1.0, 5.0, float("nan"))))
    )
    assert low["drift0"] == 2.0  # what was measured is seen
    assert budget["drift3"] == 23.0  # three of four decades, 28 pixels above the lowest
    assert pytest.approx(7.0) == BUDGET_LINE  # which is where it ends
    assert budget["drift3"] < over["drift4"] < TRACK
    assert worst["drift4"] == TRACK


def test_the_longest_layer_fills_its_track_and_the_others_are_in_proportion() -> None:
    long, short, none = drawn(cell(share=0.4), cell(share=0.1), cell(share=0.0))
    assert bars(long)["time4"] == 30.0
    assert bars(short)["time2"] == 7.5
    assert bars(none)["time0"] == 2.0


def test_what_is_over_budget_or_limited_has_a_sign_besides_its_colour() -> None:
    passed, failed, limited = drawn(
        cell(), cell(used=3.0, verdict="fail"), cell(used=3.0, verdict="limited")
    )
    signs = [[text.text for text in svg.iter("text")] for svg in (passed, failed, limited)]
    assert signs == [[], ["!"], ["~"]]
    assert "drift4" in bars(failed)
    assert "limited" in bars(limited)


def test_what_was_not_measured_is_an_empty_track() -> None:
    (svg,) = drawn(cell(used=None, share=None))
    assert bars(svg) == {}
    assert [shape.attrib["class"] for shape in svg.iter("rect")] == ["track nothing"] * 2


def test_each_layer_is_an_entry_of_an_ordered_list_with_its_words() -> None:
    cells = [cell(name=f"layer{at}", told=f"told {at} <") for at in range(3)]
    whole = strip(cells, "Layers of <x>")
    assert whole.startswith("<ol ")
    assert 'aria-label="Layers of &lt;x&gt;"' in whole
    assert len(re.findall("<li[ >]", whole)) == 1 + 3  # the names of the two lanes come first
    told = [svg.attrib["aria-label"] for svg in drawn(*cells)]
    assert told == ["told 0 <", "told 1 <", "told 2 <"]
    assert "layer1" in whole


def test_lrn_is_named_whatever_the_runtime_calls_it() -> None:
    whole = strip([cell(marked=True, kind="Reshape")], "Layers")
    assert '<span class="kind lrn">LRN</span>' in whole


def test_of_many_layers_only_lrn_is_said_to_be_that() -> None:
    many = [cell(name=f"layer{at}", marked=at == 3) for at in range(DENSE + 1)]
    whole = strip(many, "Layers")
    assert 'class="strip dense"' in whole
    assert 'class="name"' not in whole
    assert re.findall(r'class="kind[^>]*>([^<]*)', whole) == [""] * 3 + ["LRN"] + [""] * (DENSE - 3)
    assert len(drawn(*many)) == DENSE + 1
    assert 'class="name"' in strip(many[:DENSE], "Layers")


def test_the_legend_has_every_colour_of_the_scales() -> None:
    shown = re.findall(r'class="swatch (\w+)"', legend())
    assert shown == [f"drift{at}" for at in range(5)] + [f"time{at}" for at in range(5)]

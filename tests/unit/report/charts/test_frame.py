"""Charts: well-formed, and marks at the places that their values ask for."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from lrn_deploy.report.charts.frame import WIDTH, Box, Line, box_chart, budget_bar, line_chart
from lrn_deploy.report.charts.scales import Linear, Log, decades


def bar_width(share: float) -> float:
    rects = ElementTree.fromstring(budget_bar(share, "pass")).findall("rect")
    return float(rects[1].attrib["width"])


def test_a_log_scale_puts_the_geometric_mean_in_the_middle() -> None:
    scale = Log(1e-4, 1.0, 0.0, 100.0)
    assert scale(1e-2) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("value", "place"),
    [(0.0, 0.0), (1e-9, 0.0), (5.0, 100.0), (math.inf, 100.0), (math.nan, 100.0)],
)
def test_a_log_scale_keeps_what_lies_beyond_at_its_ends(value: float, place: float) -> None:
    assert Log(1e-4, 1.0, 0.0, 100.0)(value) == pytest.approx(place)


def test_a_log_scale_of_one_value_centres_it() -> None:
    assert Log(4.0, 4.0, 0.0, 100.0)(4.0) == 50.0


def test_ticks_of_many_decades_are_few() -> None:
    assert Log(1e-3, 1e4, 0, 1).ticks() == pytest.approx((1e-3, 1e-1, 1e1, 1e3))
    assert Log(2.0, 50.0, 0, 1).ticks() == pytest.approx((2, 5, 10, 20, 50))


def test_linear_ticks_are_round() -> None:
    assert Linear(0.0, 0.7, 0, 1).ticks() == pytest.approx((0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))


def test_decades_enclose_the_values() -> None:
    assert decades([3e-8, 2e-6]) == pytest.approx((1e-8, 1e-5))
    assert decades([1e-3]) == pytest.approx((1e-4, 1e-2))
    assert decades([30.0, 170.0], narrow=True) == pytest.approx((20.0, 200.0))


@pytest.mark.parametrize(
    ("share", "part"), [(0.0, 0.0), (1e-3, 0.0), (1.0, 0.6), (100.0, 1.0), (math.inf, 1.0)]
)
def test_a_budget_bar_spans_five_decades_with_the_budget_at_three(
    share: float, part: float
) -> None:
    assert bar_width(share) == pytest.approx(120 * part)


def test_an_error_that_is_no_number_fills_its_bar() -> None:
    assert bar_width(math.nan) == 120


def test_a_line_chart_has_a_dot_for_each_point_and_a_name_for_each_line() -> None:
    lines = [
        Line("<a & b>", ((1.0, 1e-6), (10.0, 1e-4)), ("", "fail")),
        Line("zero and infinity", ((1.0, 0.0), (10.0, math.inf))),
    ]
    figure = ElementTree.fromstring(
        line_chart(lines, "x", "y", budget=1e-5, label="a 'chart' of <things>")
    )
    dots = list(figure.iter("circle"))
    assert len(dots) == 4
    heights = [float(dot.attrib["cy"]) for dot in dots]
    assert heights[0] > heights[1]  # a larger error lies higher, and y grows downwards
    assert heights[2] == max(heights)
    assert heights[3] == min(heights)
    assert dots[1].attrib["class"] == "dot fail"
    assert "<a & b>" in "".join(figure.itertext())


def test_more_lines_than_colours_are_dashed() -> None:
    lines = [Line(f"line {at}", ((1.0, 1.0 + at), (2.0, 2.0 + at))) for at in range(9)]
    figure = line_chart(lines, "x", "y", x_ticks=[1, 2], label="many")
    assert 'class="line s0 dashed"' in figure


def test_a_box_spans_its_quartiles_and_a_stray_run_is_an_arrow_at_the_edge() -> None:
    steady = Box("steady", p5=8, p25=9, p50=10, p75=11, p95=12, p99=13, max=14, floor=2.0)
    stray = Box("stray", p5=8, p25=9, p50=10, p75=11, p95=12, p99=500, max=900)
    figure = ElementTree.fromstring(box_chart([steady, stray], "ms", "latencies"))
    boxes = [rect for rect in figure.iter("rect") if rect.attrib.get("class") == "box"]
    scale = Linear(0.0, 12 * 1.3, 10.0, WIDTH - 12.0)
    assert float(boxes[0].attrib["x"]) == pytest.approx(scale(9), abs=0.01)
    assert float(boxes[0].attrib["width"]) == pytest.approx(scale(11) - scale(9), abs=0.01)
    ends = [text.text for text in figure.iter("text") if text.attrib["class"] == "far"]
    assert ends == ["·", "→"]
    xs = [float(line.attrib["x1"]) for line in figure.iter("line")]
    assert max(xs) <= WIDTH
    floors = [line for line in figure.iter("line") if line.attrib.get("class") == "floor"]
    assert len(floors) == 1


def test_one_box_with_many_stray_runs_does_not_flatten_the_others() -> None:
    steady = Box("steady", p5=8, p25=9, p50=10, p75=11, p95=12, p99=13, max=14)
    often = Box("often", p5=8, p25=9, p50=10, p75=11, p95=400, p99=500, max=900)
    figure = ElementTree.fromstring(box_chart([steady, often], "ms", "latencies"))
    scale = Linear(0.0, 22.0, 10.0, WIDTH - 12.0)
    whiskers = [
        float(line.attrib["x2"])
        for line in figure.iter("line")
        if line.attrib.get("class") == "whisker" and line.attrib["x1"] != line.attrib["x2"]
    ]
    assert whiskers[0] == pytest.approx(scale(12), abs=0.01)
    assert scale(20) < whiskers[1] < scale(22)

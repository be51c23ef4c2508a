"""Bars and points: as long, and at the places, that their values ask for."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lrn_deploy.report.charts.bars import Bar, bar_chart
from lrn_deploy.report.charts.frame import LEFT, WIDTH
from lrn_deploy.report.charts.scatter import Spot, scatter_chart


def test_bars_are_in_proportion_and_none_is_negative() -> None:
    bars = [
        Bar("<a>", 4.0, "4 ms", "layer", "a"),
        Bar("a name that is longer than its place", 1.0, "1 ms", "lrn", "b"),
        Bar("outside", -0.5, "-0.5 ms", "rest", "c"),
    ]
    figure = ElementTree.fromstring(bar_chart(bars, "times"))
    rects = list(figure.iter("rect"))
    widths = [float(rect.attrib["width"]) for rect in rects]
    assert widths[1] == pytest.approx(widths[0] / 4, abs=0.01)
    assert widths[2] == 0
    assert [rect.attrib["class"] for rect in rects] == ["bar layer", "bar lrn", "bar rest"]
    assert all(float(text.attrib["x"]) < WIDTH for text in figure.iter("text"))
    assert "a name that is long…" in [text.text for text in figure.iter("text")]


def spots(*places: tuple[float, float]) -> list[Spot]:
    return [Spot(str(at), x, y, "within", "told", front=at < 2) for at, (x, y) in enumerate(places)]


def test_points_lie_by_their_logarithms_and_zero_at_the_edge() -> None:
    chosen = spots((1e-2, 10.0), (1e-3, 20.0), (1e-4, 40.0), (0.0, 10.0))
    chart = scatter_chart(chosen, "x", "y", limit=1e-1, label="points")
    figure = ElementTree.fromstring(chart)
    dots = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in figure.iter("circle")]
    decade = (WIDTH - LEFT - 40) / 3  # 1e-4 to 1e-1
    assert dots[0][0] - dots[1][0] == pytest.approx(decade, abs=0.02)
    assert dots[1][0] - dots[2][0] == pytest.approx(decade, abs=0.02)
    assert dots[0][1] - dots[1][1] == pytest.approx(dots[1][1] - dots[2][1], abs=0.02)
    assert dots[3][0] == dots[2][0] == LEFT + 14  # 1e-4 is where the axis begins
    (path,) = (line.attrib["points"] for line in figure.iter("polyline"))
    assert path == " ".join(f"{x:.1f},{y:.1f}" for x, y in (dots[1], dots[0]))


def test_labels_of_neighbours_stand_on_different_sides() -> None:
    near = spots((1e-3, 10.0), (1.2e-3, 10.0), (1.4e-3, 10.0))
    figure = ElementTree.fromstring(scatter_chart(near, "x", "y", limit=None, label="points"))
    labels = [text for text in figure.iter("text") if text.attrib["class"] == "name"]
    places = {(text.attrib["x"], text.attrib["y"]) for text in labels}
    assert len(places) == 3
    dots = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in figure.iter("circle")]
    for text in labels:
        middle = float(text.attrib["y"]) - 4
        assert not any(
            abs(float(text.attrib["x"]) - x) < 4 and abs(middle - y) < 4 for x, y in dots
        )


def test_in_a_crowd_the_first_points_keep_their_labels() -> None:
    crowd = spots(*((1e-3 * 1.01**at, 10.0) for at in range(20)))
    figure = ElementTree.fromstring(scatter_chart(crowd, "x", "y", limit=None, label="points"))
    labels = [text.text for text in figure.iter("text") if text.attrib["class"] == "name"]
    assert labels[0] == "0"
    assert 1 < len(labels) < 20
    assert len(list(figure.iter("circle"))) == 20

"""Colours can be told apart from their ground, in both themes."""

from __future__ import annotations

import re

import pytest

from lrn_deploy.report.page.style import CSS, DARK, LIGHT

TEXT = ("ink", "soft", "pass", "limited", "fail", "skipped", "s0")
"""What text is written in; s0 is that of links."""


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2, from ``#rrggbb``."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_a_contrast_of_4_5(theme: dict[str, str]) -> None:
    found = {
        (name, ground): round(contrast(theme[name], theme[ground]), 2)
        for name in TEXT
        for ground in ("page", "card")
    }
    found["card", "s1"] = contrast(theme["card"], theme["s1"])  # LRN in the strip
    assert {pair: value for pair, value in found.items() if value < 4.5} == {}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_drawn_has_a_contrast_of_3(theme: dict[str, str]) -> None:
    marks = ["edge", *(f"s{at}" for at in range(8))]
    low = {name: contrast(theme[name], theme["card"]) for name in marks}
    assert {name: value for name, value in low.items() if value < 3} == {}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("lane", ["drift", "time"])
def test_more_is_further_from_the_ground(theme: dict[str, str], lane: str) -> None:
    colours = [theme[name] for name in sorted(theme) if name.startswith(lane)]
    steps = [contrast(colour, theme["track"]) for colour in colours]
    assert len(steps) >= 4
    assert steps == sorted(steps)


def test_both_themes_have_every_colour_and_every_colour_is_used() -> None:
    assert LIGHT.keys() == DARK.keys()
    used = set(re.findall(r"var\(--([\w]+)", CSS))
    assert LIGHT.keys() <= used
    assert used - LIGHT.keys() == {"state"}

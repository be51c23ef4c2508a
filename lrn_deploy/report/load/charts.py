"""Latency over time: each request as a dot, and those that failed at the top."""

from __future__ import annotations

from lrn_deploy.load.schema import Step
from lrn_deploy.report.charts.frame import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    chart,
    x_axis,
    y_axis,
)
from lrn_deploy.report.charts.scales import Linear, Log, decades
from lrn_deploy.report.markup import Markup, el

MOST_DOTS = 1500
"""More are thinned out, but for the slowest in each stretch, which are what one looks for."""


def over_time(step: Step, warmup: float, label: str) -> Markup:
    """A dot for each request, at the time at which it was due.

    Args:
        step: With at least one answer.
        warmup: Seconds that do not count, which are shaded.
        label: What the chart shows, for those who cannot see it.
    """
    samples = step.samples
    answered = samples.outcomes.index("answered")
    dots, failed = [], []
    for due, latency, outcome in zip(samples.due, samples.latency, samples.outcome, strict=True):
        if outcome == answered and latency is not None:
            dots.append((due, max(1e3 * latency, 1e-3)))
        else:
            failed.append(due)
    end = max(samples.due) or 1.0
    x_scale = Linear(0.0, end, LEFT + 4, WIDTH - RIGHT - 4)
    y_scale = Log(*decades([value for _, value in dots], narrow=True), HEIGHT - BOTTOM, TOP + 12)
    shade = el(
        "rect",
        el("title", "warm-up, which does not count"),
        class_="track",
        x=LEFT,
        y=TOP,
        width=max(0.0, x_scale(min(warmup, end)) - LEFT),
        height=HEIGHT - BOTTOM - TOP,
    )
    parts = [shade, x_axis(x_scale, x_scale.ticks(), "seconds", HEIGHT), y_axis(y_scale, "ms")]
    parts += [
        el("circle", class_="dot s0", cx=x_scale(at), cy=y_scale(value), r=1.5)
        for at, value in thinned(dots)
    ]
    parts += [
        el("circle", class_="dot fail", cx=x_scale(at), cy=TOP + 4, r=2.0)
        for at in failed[:: max(1, len(failed) // MOST_DOTS)]
    ]
    told = "A dot for each request"
    if failed:
        told += f", at the top the {len(failed)} that failed"
    return el("figure", chart(parts, HEIGHT, label), el("figcaption", f"{told}."))


def thinned(dots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of very many dots some, among them the highest of each stretch of time."""
    if len(dots) <= MOST_DOTS:
        return dots
    every = -(-2 * len(dots) // MOST_DOTS)
    kept = []
    for start in range(0, len(dots), every):
        stretch = dots[start : start + every]
        kept += [stretch[0], max(stretch, key=lambda dot: dot[1])]
    return kept

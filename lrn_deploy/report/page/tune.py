"""The section about what ``tune`` chose, and among what."""

from __future__ import annotations

from lrn_deploy.report.charts.scatter import Spot, scatter_chart
from lrn_deploy.report.markup import (
    Child,
    Markup,
    bullets,
    el,
    join,
    milliseconds,
    number,
    section,
    table,
)
from lrn_deploy.tuning.decide import best_point
from lrn_deploy.tuning.demand import Demand
from lrn_deploy.tuning.schema import Candidate, TuneReport

NOTE = (
    "Each point is a candidate of the table below, by its number; further left is more accurate, "
    "further down is faster. The line joins those to which no other is superior in both. Large: "
    "the choice. Hollow: beyond what was demanded."
)


def tuning(report: TuneReport | None) -> Markup:
    """The choice in a sentence, the candidates as points, and all of them in a table."""
    if report is None:
        return Markup()
    parts: list[Child] = [el("p", chosen(report)), el("p", _demand(report), class_="soft")]
    spots = _spots(report)
    if spots:
        limit = report.demand.max_error
        figure = scatter_chart(
            spots,
            "relative L2 error",
            "milliseconds an item",
            limit=limit,
            label="Error of each candidate against its time for an item",
        )
        note = NOTE
        if limit:
            note += " Dashed: the largest error allowed."
        if any(spot.x == 0 for spot in spots):
            note += " An error of 0 stands at the left edge."
        charts = el("div", el("div", figure), class_="charts")
        parts += [el("p", note, class_="soft"), charts]
    return section("Choice", *parts, _table(report), _reasons(report), id_="tune")


def chosen(report: TuneReport) -> str:
    """The explanation, or that there is no choice."""
    if not report.complete:
        return "Tuning was interrupted, so nothing was chosen."
    return report.explanation


def _demand(report: TuneReport) -> str:
    asked = report.demand
    if asked.objective == "latency":
        said = f"Asked for: the shortest run of batch {asked.batch}"
    else:
        said = "Asked for: the most items a second"
        if asked.max_latency is not None:
            said += f" in runs of at most {1e3 * asked.max_latency:.3g} ms"
    if asked.max_error is not None:
        said += f", relative L2 error at most {asked.max_error:g}"
    if asked.min_agreement is not None:
        said += f", agreement of the best class at least {asked.min_agreement:.1%}"
    return f"{said}. Errors measured on {report.inputs.rstrip('.')}."


def _spots(report: TuneReport) -> list[Spot]:
    spots = []
    for at, item in enumerate(report.candidates):
        point = best_point(item, report.demand)
        if item.metrics is None or point is None:
            continue
        seconds, error = point.seconds / point.batch, item.metrics.relative_l2
        look = "chosen" if at == report.chosen else "within" if item.within else "beyond"
        told = f"{item.name}: {1e3 * seconds:.3g} ms an item, error {error:.2g}"
        spots.append(Spot(str(at + 1), error, 1e3 * seconds, look, told, item.front))
    return spots


def _table(report: TuneReport) -> Markup:
    rows = [
        _row(at, item, report.demand, is_chosen=at == report.chosen)
        for at, item in enumerate(report.candidates)
    ]
    titles = ("#", "artifact", "backend", "threads", "relative L2", "agreement")
    more = ("batch", "run ms", "items/s", "verdict")
    return table((*titles, *more), rows, right=(0, 3, 4, 5, 6, 7, 8))


def _reasons(report: TuneReport) -> Markup:
    """Why candidates are out or were not measured, each reason once."""
    found: dict[str, list[str]] = {}
    for at, item in enumerate(report.candidates):
        if item.reason:
            found.setdefault(item.reason, []).append(str(at + 1))
    return bullets([f"{', '.join(numbers)}: {reason}" for reason, numbers in found.items()])


def _row(at: int, item: Candidate, demand: Demand, *, is_chosen: bool) -> tuple[Child, ...]:
    point = best_point(item, demand)
    metrics = item.metrics
    agreement = metrics.top1_agreement if metrics else None
    word, look = ("within", "pass") if item.within else ("out", "fail")
    if is_chosen:
        word = "chosen"
    elif item.within and point is None:
        word, look = "not timed", "skipped"
    elif metrics is None:
        word, look = "not run", "skipped"
    noisy = point is not None and point.noise.noisy
    rate = None if point is None else point.throughput
    return (
        str(at + 1),
        item.artifact,
        item.backend,
        str(item.threads) if item.threads else "-",
        number(metrics.relative_l2 if metrics else None),
        number(agreement, None if agreement is None else f"{agreement:.1%}"),
        str(point.batch) if point else "-",
        join(milliseconds(point.seconds if point else None), " (noisy)" if noisy else None),
        number(rate, None if rate is None else f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"),
        el("span", word, class_=f"state {look}"),
    )

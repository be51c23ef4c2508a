"""The section about what ``tune`` chose, and among what."""

from __future__ import annotations

from lrn_deploy.report.charts.scatter import Spot, scatter_chart
from lrn_deploy.report.markup import (
    Child,
    Markup,
    bullets,
    el,
    folded,
    join,
    milliseconds,
    not_run,
    number,
    place,
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
    measured = f"Errors measured on {report.inputs.rstrip('.')}."
    demand = f"Asked for: {asked_for(report.demand)}. {measured}"
    parts: list[Child] = [el("p", chosen(report)), el("p", demand, class_="soft")]
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
    return section("Choice", *parts, _table(report), _reasons(report), _not_run(report), id_="tune")


def chosen(report: TuneReport) -> str:
    """The explanation, or that there is no choice."""
    if not report.complete:
        return "Tuning was interrupted, so nothing was chosen."
    return report.explanation


def asked_for(demand: Demand) -> str:
    """What was asked of the choice, in words that follow "asked for"."""
    if demand.objective == "latency":
        said = f"the shortest run of batch {demand.batch}"
    else:
        said = "the most items a second"
        if demand.max_latency is not None:
            said += f" in runs of at most {1e3 * demand.max_latency:.3g} ms"
    if demand.max_error is not None:
        said += f", relative L2 error at most {demand.max_error:g}"
    if demand.min_agreement is not None:
        said += f", agreement of the best class at least {demand.min_agreement:.1%}"
    return said


def _spots(report: TuneReport) -> list[Spot]:
    spots = []
    for at, candidate in enumerate(report.candidates):
        point = best_point(candidate, report.demand)
        if candidate.metrics is None or point is None:
            continue
        seconds, error = point.seconds / point.batch, candidate.metrics.relative_l2
        look = "chosen" if at == report.chosen else "within" if candidate.within else "beyond"
        told = f"{candidate.name}: {1e3 * seconds:.3g} ms an item, error {error:.2g}"
        spots.append(Spot(str(at + 1), error, 1e3 * seconds, look, told, candidate.front))
    return spots


def _table(report: TuneReport) -> Markup:
    """The candidates that were timed."""
    rows = [
        _row(at, candidate, report.demand, is_chosen=at == report.chosen)
        for at, candidate in enumerate(report.candidates)
        if candidate.points
    ]
    if not rows:
        return Markup()
    titles = ("candidate", "threads", "relative L2", "agreement", "batch", "run ms", "items/s")
    return table((*titles, "verdict"), rows, right=(1, 2, 3, 4, 5, 6))


def _reasons(report: TuneReport) -> Markup:
    """Why candidates of the table are out, or were not timed with the others, each reason once."""
    found: dict[str, list[str]] = {}
    for at, candidate in enumerate(report.candidates):
        if candidate.reason and candidate.points:
            found.setdefault(candidate.reason, []).append(str(at + 1))
    lines = [f"{', '.join(numbers)}: {reason}" for reason, numbers in found.items()]
    if not lines:
        return Markup()
    count = sum(len(numbers) for numbers in found.values())
    return folded(f"{count} out, or not raced to the end", bullets(list(lines)))


def _not_run(report: TuneReport) -> Markup:
    """Candidates that were not made, could not run here, or were out before they were timed."""
    entries = [
        (candidate.name, candidate.reason)
        for candidate in report.candidates
        if not candidate.points
    ]
    return not_run("not timed", entries)


def _row(at: int, candidate: Candidate, demand: Demand, *, is_chosen: bool) -> tuple[Child, ...]:
    point = best_point(candidate, demand)
    metrics = candidate.metrics
    agreement = metrics.top1_agreement if metrics else None
    word, look = ("within", "pass") if candidate.within else ("out", "fail")
    if is_chosen:
        word = "chosen"
    elif candidate.within and point is None:
        word, look = "not timed", "skipped"
    noisy = point is not None and point.noise.noisy
    rate = None if point is None else point.throughput
    return (
        join(el("span", f"{at + 1} ", class_="rank"), place(candidate.artifact, candidate.backend)),
        str(candidate.threads) if candidate.threads else "-",
        number(metrics.relative_l2 if metrics else None),
        number(agreement, None if agreement is None else f"{agreement:.1%}"),
        str(point.batch) if point else "-",
        join(milliseconds(point.seconds if point else None), " (noisy)" if noisy else None),
        number(rate, None if rate is None else f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"),
        el("span", word, class_=f"state {look}"),
    )

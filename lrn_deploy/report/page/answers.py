"""What the page says first: is it right, how fast is it, and what is it run with?"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from lrn_deploy.latency.schema import Row
from lrn_deploy.parity.schema import ParityReport
from lrn_deploy.report.markup import Child, Markup, el, percent, short
from lrn_deploy.report.page.tune import asked_for, chosen
from lrn_deploy.report.source import Source
from lrn_deploy.tuning.decide import best_point

State = Literal["pass", "fail", "limited", "skipped"]

NAMED_FAILURES = 5
_WORDS = {"pass": "PASS", "fail": "FAIL", "limited": "PASS, in part", "skipped": "Not checked"}
_SIGNS = {"pass": "✓", "fail": "✗", "limited": "◐", "skipped": "○"}


def state(source: Source) -> State:
    """``pass`` or ``fail``; ``limited`` if some artifact was not checked, ``skipped`` if all."""
    report = source.parity
    if report is None:
        return "skipped"
    if report.verdict == "fail":
        return "fail"
    return "limited" if source.unchecked else "pass"


def answers(source: Source) -> Markup:
    """Three cards, each a question, its answer in a word or two, and what that rests on."""
    return el("div", _right(source), _fast(source), _run_with(source), class_="answers")


def _right(source: Source) -> Markup:
    found = state(source)
    answer = el("strong", el("span", f"{_SIGNS[found]} ", aria_hidden="true"), _WORDS[found])
    said: list[Child] = [el("p", _correct(source))]
    if source.parity is not None and source.unchecked:
        names = ", ".join(source.unchecked)
        said.append(
            el("p", f"Made or changed since, and not checked: {names}. Run 'lrn-deploy validate'.")
        )
    return _card("Is it right?", answer, said, found)


def _fast(source: Source) -> Markup:
    """The median of what the bundle is run with, else of what is fastest, at the smallest batch."""
    rows, point = _timed(source), _tuned_point(source)
    if rows and (point is None or any(_is_run(source, row) for row in rows)):
        first = min(row.batch or 0 for row in rows)
        fastest = _fastest(rows, first)
        row = next((row for row in rows if row.batch == first and _is_run(source, row)), fastest)
        assert row.summary is not None
        who = "what it is run with" if _is_run(source, row) else f"{row.artifact} on {row.backend}"
        said: list[Child] = [
            f"A run of batch {first} of {who}: the median of {row.summary.count}; nine of ten took "
            f"at most {1e3 * row.summary.p90:.3g} ms.",
            _fastest_sentence(rows),
        ]
        return _card("How fast is it?", _milliseconds(row.summary.p50), _paragraphs(said))
    if point is not None:
        batch, seconds = point
        more = (
            "'lrn-deploy profile BUNDLE' measures every artifact at every batch size, and layers."
        )
        said = [
            f"A run of batch {batch} of what 'tune' chose, as it measured it.",
            _fastest_sentence(rows).replace("Fastest", "Of what was profiled", 1) if rows else more,
        ]
        return _card("How fast is it?", _milliseconds(seconds), _paragraphs(said))
    said = [
        "The bundle has changed since it was timed; run 'lrn-deploy profile' again."
        if source.latency is not None and source.outdated
        else "No time was measured: 'lrn-deploy profile BUNDLE' tells how fast each artifact is."
    ]
    return _card("How fast is it?", el("strong", "Not measured"), _paragraphs(said), "skipped")


def _run_with(source: Source) -> Markup:
    title, run, tune = "What is it run with?", source.run_with, source.tune
    if run is None:
        said: list[Child] = [
            f"'{source.manifest.default}', or what computes the same in the form that suits the "
            "machine.",
            chosen(tune)
            if tune is not None and not tune.complete
            else "'lrn-deploy tune BUNDLE' finds the fastest way within an error that you allow.",
        ]
        return _card(title, el("strong", "Not tuned"), _paragraphs(said), "skipped")
    threads = f", {run.threads} thread{'' if run.threads == 1 else 's'}" if run.threads else ""
    answer = el("strong", run.artifact, el("small", f" on {run.placement.where}{threads}"))
    said = [f"It computes in {source.manifest.artifacts[run.artifact].precision}."]
    choice = tune.choice if tune is not None else None
    if tune is None or choice is None or choice.placement != run.placement:
        said.append("'lrn-deploy tune' chose it.")
    else:
        timed = sum(bool(candidate.points) for candidate in tune.candidates)
        asked = f"asked for {asked_for(tune.demand)}, and chose it of {timed} that it timed"
        error = f"Its error is {short(choice.metrics.relative_l2)}. " if choice.metrics else ""
        said.append(f"{error}'lrn-deploy tune' was {asked}.")
    return _card(title, answer, _paragraphs(said))


def _card(title: str, answer: Markup, said: list[Child], class_: str | None = None) -> Markup:
    return el("section", el("h2", title), answer, *said, class_=f"answer {class_ or ''}".strip())


def _paragraphs(said: list[Child]) -> list[Child]:
    return [el("p", sentence) for sentence in said if sentence]


def _milliseconds(seconds: float) -> Markup:
    value = 1e3 * seconds
    return el(
        "strong",
        f"{value:.0f}" if value >= 100 else f"{value:.3g}",
        el("small", " ms", class_="unit"),
    )


def _correct(source: Source) -> str:
    report = source.parity
    if report is None:
        return "No check has run: 'lrn-deploy validate BUNDLE' tells whether the artifacts agree."
    if report.verdict == "fail":
        shown = ", ".join(report.caught_by[:NAMED_FAILURES])
        more = len(report.caught_by) - NAMED_FAILURES
        return f"Caught by: {shown}{f' and {more} more' if more > 0 else ''}."
    ran = {check.artifact for check in report.checks if check.artifact and check.metrics}
    verdicts = Counter(check.verdict for check in report.checks)
    limited, unjudged = verdicts["limited"], verdicts["unjudged"]
    checks = _count(verdicts.total() - verdicts["skipped"] - unjudged, "check")
    said = f"{_count(len(ran), 'artifact')} in {checks} against {report.reference}"
    if limited:
        said += f"; {limited} limited by the runtime's own LRN kernel, the others within budget."
    else:
        said += "; every error within its budget."
    said += _nearest(report)
    if unjudged:
        said += f" {_count(unjudged, 'comparison')} more told but not judged."
    unrun = [name for name in report.artifacts if name not in ran]
    return said + (f" Not run here: {', '.join(unrun)}." if unrun else "")


def _nearest(report: ParityReport) -> str:
    """How much of its budget the largest error within it takes."""
    passed = [c for c in report.checks if c.verdict == "pass" and c.artifact and c.budget]
    if not passed:
        return ""
    nearest = max(passed, key=lambda check: check.severity)
    return f" The largest takes {percent(nearest.severity)} of its budget: {nearest.artifact}'s."


def _timed(source: Source) -> list[Row]:
    """What was timed of what the bundle still holds."""
    return [
        row
        for row in (source.latency.rows if source.latency else ())
        if row.bundle == "this"
        and row.summary
        and row.batch
        and row.artifact not in source.outdated
    ]


def _is_run(source: Source, row: Row) -> bool:
    run = source.run_with
    return run is not None and (row.artifact, row.backend) == (run.artifact, run.placement.where)


def _fastest(rows: list[Row], batch: int) -> Row:
    timed = [(row.summary.p50, row) for row in rows if row.batch == batch and row.summary]
    return min(timed, key=lambda pair: pair[0])[1]


def _fastest_sentence(rows: list[Row]) -> str:
    """The fastest at each end of the batch sizes."""
    batches = sorted({row.batch for row in rows if row.batch})
    said = []
    for batch in dict.fromkeys([batches[0], batches[-1]]):
        best = _fastest(rows, batch)
        assert best.summary is not None
        noise = "" if best.noise and not best.noise.noisy else " (noisy)"
        said.append(
            f"at batch {batch} {best.artifact} on {best.backend}, median "
            f"{1e3 * best.summary.p50:.3g} ms{noise}"
        )
    return f"Fastest: {'; '.join(said)}."


def _tuned_point(source: Source) -> tuple[int, float] | None:
    """Batch and seconds of the choice of ``tune``, if the bundle still holds it."""
    report = source.tune
    if report is None or report.choice is None or source.retuned:
        return None
    point = best_point(report.choice, report.demand)
    return None if point is None else (point.batch, point.seconds)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

"""Sections about correctness: the worst checks, each LRN alone, drift by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lrn_deploy.parity.schema import Check, ParityReport, grouped, worst
from lrn_deploy.placement import MODEL
from lrn_deploy.report.charts.frame import Line, budget_bar, line_chart
from lrn_deploy.report.markup import (
    Child,
    Markup,
    bullets,
    el,
    folded,
    not_run,
    number,
    place,
    section,
    short,
    table,
)

MISSING = "Nothing was checked yet: run 'lrn-deploy validate BUNDLE' and draw this page again."


def parity(report: ParityReport | None) -> Markup:
    """The worst check of each artifact on each backend against its budget; the rest, folded."""
    if report is None:
        return section("Parity", el("p", MISSING), id_="parity")
    worsts = [worst(group) for group in grouped(report.checks)]
    kinds = [check for check in worsts if check.verdict != "skipped"]
    places: dict[tuple[str, str], list[Check]] = {}
    for check in kinds:
        places.setdefault((check.artifact, check.backend), []).append(check)
    shown = [worst(_judged(there) or there) for there in places.values()]
    note = (
        "The worst check of each artifact on each backend. A bar is the error over its budget, on "
        "a scale of powers of ten; the line is the budget."
    )
    told = [_reason(check) for check in kinds if check.verdict not in ("pass", "unjudged")]
    more = [_reason(check) for check in kinds if check.verdict == "unjudged"]
    every = f"The worst check of every kind: {len(kinds)} rows"
    return section(
        "Parity",
        el("p", note, class_="soft"),
        _table(shown) if shown else el("p", "No check could be run here."),
        bullets(list(told)),
        not_run("not checked here", _skipped(worsts)),
        folded(every, _table(kinds), bullets(list(more))) if len(kinds) > len(shown) else None,
        id_="parity",
    )


def _skipped(checks: Sequence[Check]) -> list[tuple[str, str]]:
    """What could not run, and why; the group is told where others of that place ran."""
    ran = {(check.artifact, check.backend) for check in checks if check.verdict != "skipped"}
    entries = []
    for check in checks:
        if check.verdict == "skipped":
            name = f"{check.artifact or 'the reference'} on {check.backend}"
            part = f", {check.group}" if (check.artifact, check.backend) in ran else ""
            entries.append((name + part, check.reason))
    return entries


def _judged(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.verdict != "unjudged"]


def _table(checks: Sequence[Check]) -> Markup:
    rows: list[tuple[Child, ...]] = [
        (
            place(check.artifact or "(reference)", check.backend),
            check.group,
            number(check.error),
            number(check.signal_error),
            number(check.budget.relative_l2 if check.budget else None),
            _bar(check),
            _state(check),
        )
        for check in checks
    ]
    titles = ("artifact", "check", "relative L2", "over signal", "budget")
    return table((*titles, "of the budget", "verdict"), rows, right=(2, 3, 4))


def probes(report: ParityReport | None) -> Markup:
    """Error of each LRN layer alone against the amplitude of its input; one chart an artifact.

    The canonical graph's charts and those with a point over budget are shown, the others folded.
    """
    groups = _by_place(report.checks if report else (), "probe")
    charts: list[Child] = []
    more: list[Child] = []
    for (artifact, backend), checks in groups.items():
        layers: dict[str, list[Check]] = {}
        for check in checks:
            if check.metrics is not None and _amplitude(check) is not None:
                layers.setdefault(check.subject, []).append(check)
        if not layers:
            continue
        lines = _merged([_line(name, taken) for name, taken in layers.items()])
        limit = next((check.budget.relative_l2 for check in checks if check.budget), None)
        chart = line_chart(
            lines,
            "amplitude of the input",
            "relative L2",
            budget=limit,
            label=f"Error of each LRN layer alone against amplitude, {artifact} on {backend}",
        )
        telling = artifact == MODEL or any(check.verdict in ("limited", "fail") for check in checks)
        titled = el("div", el("h3", f"{artifact} on {backend}"), chart)
        (charts if telling else more).append(titled)
    if not charts and not more:
        return Markup()
    note = (
        "Each LRN layer of each artifact alone, against the definition in float64. A ringed point "
        "is over the budget: amber where the runtime's own kernel loses the digits, red where it "
        "fails."
    )
    shown = el("div", *charts, class_="charts")
    others = folded(f"{len(more)} more, within budget", el("div", *more, class_="charts"))
    return section(
        "LRN alone", el("p", note, class_="soft"), shown, others if more else None, id_="probes"
    )


def drift(report: ParityReport | None) -> Markup:
    """Where artifacts first leave their budget, and the worst check of every layer, folded."""
    if report is None or not report.drift:
        return Markup()
    groups = _by_place(report.checks, "layer")
    rows: list[tuple[Child, ...]] = []
    folds: list[Child] = []
    for found in report.drift:
        first, answer = "none", el("span", "within budget", class_="state pass")
        if found.first is not None:
            first = f"{found.first.subject}, on {found.first.inputs}"
            answer = el("span", "over budget", class_="state fail")
        missing = ", ".join(found.missing) or "none"
        where = place(found.artifact, found.backend)
        rows.append((where, str(found.compared), answer, first, missing))
        layers: dict[str, list[Check]] = {}
        for check in groups.get((found.artifact, found.backend), ()):
            layers.setdefault(check.subject, []).append(check)
        if layers:
            title = f"{found.artifact} on {found.backend}: {len(layers)} layers"
            folds.append(folded(title, _each_layer(layers)))
    titles = ("artifact", "layers", "verdict", "first over budget", "no longer in the graph")
    return section("Drift by layer", table(titles, rows, right=(1,)), *folds, id_="drift")


def _each_layer(layers: dict[str, list[Check]]) -> Markup:
    """The worst check of each."""
    rows: list[tuple[Child, ...]] = []
    for name, checks in layers.items():
        shown = worst(checks)
        rows.append((name, shown.inputs, number(shown.error), _bar(shown), _state(shown)))
    titles = ("layer", "worst on", "relative L2", "of the budget", "verdict")
    return table(titles, rows, right=(2,))


def _line(name: str, checks: Sequence[Check]) -> Line:
    points, marks = [], []
    for check in sorted(checks, key=lambda check: _amplitude(check) or 0.0):
        amplitude, error = _amplitude(check), check.error
        assert amplitude is not None
        assert error is not None
        points.append((amplitude, error))
        marks.append(check.verdict if check.verdict in ("limited", "fail") else "")
    return Line(name, tuple(points), tuple(marks))


def _merged(lines: Sequence[Line]) -> list[Line]:
    """Lines that lie on each other as one: layers of equal parameters are probed alike."""
    names: dict[tuple[tuple[tuple[float, float], ...], tuple[str, ...]], list[str]] = {}
    for line in lines:
        names.setdefault((line.points, line.marks), []).append(line.name)
    return [Line(", ".join(same), *key) for key, same in names.items()]


def _amplitude(check: Check) -> float | None:
    """The number in ``amplitude 0.001``."""
    try:
        value = float(check.inputs.rpartition(" ")[2])
    except ValueError:
        return None
    return value if value > 0 else None


def _by_place(checks: Iterable[Check], kind: str) -> dict[tuple[str, str], list[Check]]:
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.kind == kind:
            groups.setdefault((check.artifact, check.backend), []).append(check)
    return groups


def _bar(check: Check) -> Markup:
    if check.metrics is None or check.budget is None:
        return Markup("-")
    bar = budget_bar(check.severity, check.verdict)
    return el("span", bar, " ", number(check.severity, f"{short(check.severity)}x"), class_="keep")


def _state(check: Check) -> Markup:
    return el("span", check.verdict, class_=f"state {check.verdict}")


def _reason(check: Check) -> Markup:
    where = f"{check.artifact or 'the reference'} on {check.backend}"
    told = [where, *(part for part in (check.subject, check.inputs) if part)]
    told += [f"batch {check.batch}"] if check.batch else []
    return el("span", _state(check), f" {', '.join(told)}: {check.reason or 'no reason given'}")

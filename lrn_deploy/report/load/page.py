"""The load report as one HTML page: the answer first, the charts, and what it rests on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from lrn_deploy import __version__
from lrn_deploy.errors import DamagedError
from lrn_deploy.load.schema import LoadReport, Step
from lrn_deploy.report.charts.frame import Line, line_chart
from lrn_deploy.report.load.charts import over_time
from lrn_deploy.report.load.console import knee_sentence, named, sentences
from lrn_deploy.report.markup import (
    Child,
    Markup,
    bullets,
    el,
    folded,
    milliseconds,
    number,
    section,
    table,
)
from lrn_deploy.report.page.style import CSS

_PERCENTILES = (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99.9", "p999"))


def read_load(file: Path) -> LoadReport:
    """What ``lrn-deploy load -o FILE`` wrote.

    Raises:
        DamagedError: If it is no such file, or cannot be read.
    """
    hint = "Give a bundle, or a file that 'lrn-deploy load URL -o FILE' wrote."
    try:
        return LoadReport.model_validate_json(file.read_bytes())
    except OSError as error:
        raise DamagedError(f"'{file}' cannot be read: {error.strerror}.", hint) from error
    except ValidationError as error:
        raise DamagedError(f"'{file}' is no report of a load.", hint) from error


def render(report: LoadReport, drawn: datetime | None = None) -> str:
    """The page of a load report; nothing is measured.

    Args:
        report: What ``load`` wrote.
        drawn: Time to put under the page; None takes the present.

    Returns:
        HTML that needs no other file, no network and no scripts.
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{report.model} under load: lrn-deploy report"),
        el("style", Markup(CSS)),
    )
    when = (drawn or datetime.now(UTC)).isoformat(timespec="seconds")
    main = el(
        "main",
        el("h1", f"{report.model} under load"),
        el("p", f"{report.server} at {report.url}, asked {report.asked}", class_="soft"),
        _answers(report),
        _charts(report),
        section("Warnings", bullets(list(report.warnings))) if report.warnings else Markup(),
        _figures(report),
        _circumstances(report),
        el("footer", f"Drawn by lrn-deploy {__version__} on {when}."),
    )
    return f"<!DOCTYPE html>\n{el('html', head, el('body', main), lang='en')}\n"


def _answers(report: LoadReport) -> Markup:
    """Three cards, each a question, its answer in a word or two, and what that rests on."""
    return el("div", _how_much(report), _how_long(report), _whose(report), class_="answers")


def _how_much(report: LoadReport) -> Markup:
    said = sentences(report)[1:]
    state = "fail" if report.failed else "limited" if report.stopped else "pass"
    if report.mode != "ramp":
        rate = f"{report.steps[0].throughput:.4g} answers a second"
        return _card("How much does it answer?", rate, said, state)
    knee = report.knee
    found = knee is not None and knee.rate is not None
    answer = f"{knee.rate:.4g} requests a second" if knee and knee.rate else "No knee was found"
    return _card("How much does it bear?", answer, said, state if found else "fail")


def _how_long(report: LoadReport) -> Markup:
    step = _shown_over_time(report) or report.steps[0]
    latency = step.latency
    if latency is None:
        return _card("How long does an answer take?", "Nothing was answered", [], "fail")
    said = [
        f"At {named(step)}: the median, of {latency.count} answers. One in ten took more than "
        f"{_shown(latency.p90)}, one in a hundred more than {_shown(latency.p99)}, the slowest "
        f"{_shown(latency.max)}."
    ]
    return _card("How long does an answer take?", _shown(latency.p50), said, "")


def _whose(report: LoadReport) -> Markup:
    own = [named(step) for step in report.steps if step.generator.reason]
    worst = max(step.generator.late_p99 for step in report.steps)
    said = [f"Of a hundred requests 99 left {_shown(worst)} after they were due, or sooner."]
    if own:
        said.append(f"It was the bottleneck at {', '.join(dict.fromkeys(own))}.")
    answer = "Yes, at times" if own else "No"
    return _card("Was the generator in the way?", answer, said, "limited" if own else "pass")


def _card(title: str, answer: str, said: list[str], state: str) -> Markup:
    parts = (el("p", sentence) for sentence in said)
    class_ = f"answer {state}".strip()
    return el("section", el("h2", title), el("strong", answer), *parts, class_=class_)


def _shown(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1e3 * seconds:.3g} ms"


def _figures(report: LoadReport) -> Markup:
    ramp = report.mode == "ramp"
    titles = (
        "Load",
        "Answers/s",
        *(f"{title} ms" for title, _ in _PERCENTILES),
        "max ms",
        "Requests",
        "Failed",
        "Generator late, p99 ms",
    ) + ("Kept up",) * ramp
    rows: list[tuple[Child, ...]] = []
    for step in report.steps:
        latency = step.latency
        times = [getattr(latency, name, None) for _, name in _PERCENTILES]
        row: tuple[Child, ...] = (
            named(step),
            number(step.throughput, f"{step.throughput:.4g}"),
            *(milliseconds(seconds) for seconds in times),
            milliseconds(latency.max if latency else None),
            number(step.sent, str(step.sent)),
            _failures(step),
            milliseconds(step.generator.late_p99),
        )
        rows.append(row + (_kept(step),) * ramp)
        if step.corrected is not None and not ramp:
            fixed = step.corrected
            rows.append(
                (
                    "with what it did not send",
                    None,
                    *(milliseconds(getattr(fixed, name)) for _, name in _PERCENTILES),
                    milliseconds(fixed.max),
                    number(fixed.count, str(fixed.count)),
                    None,
                    None,
                )
            )
    return section("Figures", table(titles, rows, right=tuple(range(1, 10))), id_="figures")


def _failures(step: Step) -> Child:
    if not step.errors:
        return "-"
    told = ", ".join(f"{count} {kind}" for kind, count in step.errors.items())
    return f"{sum(step.errors.values())} ({told})"


def _kept(step: Step) -> str:
    if step.kept is None:
        return "-"
    return "yes" if step.kept else f"no: {step.reason}"


def _charts(report: LoadReport) -> Markup:
    cards = []
    opened = sorted(
        (step for step in report.steps if step.rate is not None and step.latency is not None),
        key=lambda step: step.rate or 0.0,
    )
    if report.mode == "ramp" and len(opened) > 1:
        cards.append(el("div", el("h3", "Latency over load"), _over_load(report, opened)))
    shown = _shown_over_time(report)
    if shown is not None:
        told = f"Latency over time, {named(shown)}"
        cards.append(el("div", el("h3", told), over_time(shown, report.warmup, told)))
    return section("Charts", el("div", *cards, class_="charts")) if cards else Markup()


def _over_load(report: LoadReport, steps: list[Step]) -> Markup:
    """Percentiles over the offered rate, with the limit; marked where it did not keep up."""
    lines = []
    for title, name in _PERCENTILES[:3]:
        pairs = [
            (step.rate or 0.0, 1e3 * value, "" if step.kept else "fail")
            for step in steps
            if (value := getattr(step.latency, name)) is not None
        ]
        if pairs:
            points = tuple((rate, value) for rate, value, _ in pairs)
            lines.append(Line(title, points, tuple(mark for _, _, mark in pairs)))
    rates = sorted({step.rate or 0.0 for step in steps})
    ticks = [rates[0], rates[-1]]
    if report.knee is not None and report.knee.rate is not None:
        ticks.insert(1, report.knee.rate)
    return line_chart(
        lines,
        "requests offered a second",
        "ms",
        budget=1e3 * report.knee.limit if report.knee else None,
        x_ticks=[float(f"{tick:.3g}") for tick in dict.fromkeys(ticks)],
        label=f"Latency percentiles over the offered rate. {knee_sentence(report)}",
    )


def _shown_over_time(report: LoadReport) -> Step | None:
    """The step to be shown over time: the only one, or that at the knee."""
    steps = [step for step in report.steps if step.latency is not None]
    if report.knee is not None:
        at_knee = [step for step in steps if step.rate == report.knee.rate]
        return at_knee[-1] if at_knee else None
    return steps[-1] if steps else None


def _circumstances(report: LoadReport) -> Markup:
    machine, versions = report.machine, report.versions
    facts: list[Child] = []
    for name, value in (
        ("Made", report.created),
        ("Generator's machine", f"{machine['processor']}, {machine['cores']} cores"),
        ("System", machine["system"]),
        ("Body of a request", f"{report.request_bytes:,} bytes on average"),
        ("Measured", f"{report.seconds_each:g} s at each load, after {report.warmup:g} s"),
        ("Not waited for after", f"{report.timeout:g} s"),
        ("Arrivals' seed", str(report.seed)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ):
        facts += [el("dt", name), el("dd", value)]
    return section("How it was measured", folded("Machine, versions, settings", el("dl", *facts)))

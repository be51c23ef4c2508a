"""The whole page: a verdict first, then what it rests on."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from lrn_deploy import __version__
from lrn_deploy.bundle import Bundle
from lrn_deploy.report.markup import Child, Markup, bullets, el, section
from lrn_deploy.report.page.bundle import artifacts, lrn_layers, provenance
from lrn_deploy.report.page.latency import latency
from lrn_deploy.report.page.layers import layer_times
from lrn_deploy.report.page.parity import drift, parity, probes
from lrn_deploy.report.page.style import CSS
from lrn_deploy.report.page.tune import chosen, tuning
from lrn_deploy.report.source import PAGE, Source, read_source

FILE = PAGE
NAMED_FAILURES = 5


def draw(bundle: Bundle) -> str:
    """The page of a bundle, from its manifest and reports; nothing is run or measured.

    Returns:
        HTML that needs no other file, no network and no scripts.

    Raises:
        BadInputError: If the bundle has no reports.
        DamagedError: If a report cannot be read.
    """
    return render(read_source(bundle))


def render(source: Source, drawn: datetime | None = None) -> str:
    """The page of what was read.

    Args:
        source: What to show.
        drawn: Time to put under the page; None takes the present.
    """
    name, weights = source.manifest.model.name, source.manifest.model.weights
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{name}: lrn-deploy report"),
        el("style", Markup(CSS)),
    )
    when = (drawn or datetime.now(UTC)).isoformat(timespec="seconds")
    main = el(
        "main",
        el("h1", name),
        el("p", f"Weights: {weights.note or weights.kind}", class_="soft"),
        verdict(source),
        warnings(source),
        tuning(source.tune),
        latency(source.times),
        layer_times(source.times),
        parity(source.parity),
        lrn_layers(source),
        probes(source.parity),
        drift(source.parity),
        artifacts(source),
        provenance(source),
        el("footer", f"Drawn by lrn-deploy {__version__} on {when}."),
    )
    return f"<!DOCTYPE html>\n{el('html', head, el('body', main), lang='en')}\n"


def state(source: Source) -> str:
    """``pass`` or ``fail``; ``limited`` if some artifact was not checked, ``skipped`` if all."""
    report = source.parity
    if report is None:
        return "skipped"
    if report.verdict == "fail":
        return "fail"
    return "limited" if source.unchecked else "pass"


def verdict(source: Source) -> Markup:
    """The answer, in a word and a few sentences."""
    said: list[Child] = [el("strong", _word(source)), el("p", _correct(source))]
    if source.parity is not None and source.unchecked:
        names = ", ".join(source.unchecked)
        said.append(
            el("p", f"Made or changed since, and not checked: {names}. Run 'lrn-deploy validate'.")
        )
    fast = _fast(source)
    if fast:
        said.append(el("p", fast))
    if source.tune is not None:
        said.append(el("p", f"Tuned: {chosen(source.tune)}"))
    return el("div", *said, class_=f"verdict {state(source)}")


def warnings(source: Source) -> Markup:
    """What the checks could not see, and why not to trust a time."""
    told: list[Child] = []
    recipe = source.manifest.preprocessing
    if recipe is not None and recipe.assumed:
        told.append(f"Preprocessing {recipe.assumption}.")
    for report in (source.parity, source.latency, source.tune):
        told += dict.fromkeys(report.warnings) if report else ()
    told += [note for note in source.stale if note not in told]
    if source.outdated:
        names = ", ".join(source.outdated)
        told.append(
            f"The times of {names} are not those of what the bundle holds now. "
            "Run 'lrn-deploy profile' again."
        )
    if source.retuned:
        told.append("What 'lrn-deploy tune' chose is not what the bundle holds now. Run it again.")
    return section("Warnings", bullets(told), id_="warnings") if told else Markup()


def _word(source: Source) -> str:
    words = {"pass": "PASS", "fail": "FAIL", "limited": "PASS, in part", "skipped": "Not checked"}
    return words[state(source)]


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
    if unjudged:
        said += f" {_count(unjudged, 'comparison')} more told but not judged."
    unrun = [name for name in report.artifacts if name not in ran]
    return said + (f" Not run here: {', '.join(unrun)}." if unrun else "")


def _fast(source: Source) -> str:
    """The fastest at each end of the batch sizes, of what the bundle still holds."""
    report = source.latency
    if report is None:
        return ""
    rows = [
        row
        for row in report.rows
        if row.bundle == "this"
        and row.summary
        and row.batch
        and row.artifact not in source.outdated
    ]
    said = []
    batches = sorted({row.batch for row in rows if row.batch})
    for batch in dict.fromkeys([*batches[:1], *batches[-1:]]):
        timed = [(row.summary.p50, row) for row in rows if row.batch == batch and row.summary]
        seconds, best = min(timed, key=lambda pair: pair[0])
        noise = "" if best.noise and not best.noise.noisy else " (noisy)"
        said.append(
            f"at batch {batch} {best.artifact} on {best.backend}, median {1e3 * seconds:.3g} ms"
            f"{noise}"
        )
    return f"Fastest: {'; '.join(said)}." if said else ""


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

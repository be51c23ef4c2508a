"""The whole page: the answers and a picture of the network first, then what they rest on."""

from __future__ import annotations

from datetime import UTC, datetime

from lrn_deploy import __version__
from lrn_deploy.bundle import Bundle
from lrn_deploy.report.markup import Child, Markup, bullets, el, section
from lrn_deploy.report.page.answers import answers
from lrn_deploy.report.page.bundle import artifacts, lrn_layers, provenance
from lrn_deploy.report.page.latency import latency
from lrn_deploy.report.page.layers import layer_times
from lrn_deploy.report.page.network import network
from lrn_deploy.report.page.parity import drift, parity, probes
from lrn_deploy.report.page.style import CSS
from lrn_deploy.report.page.tune import tuning
from lrn_deploy.report.source import PAGE, Source, read_source

FILE = PAGE
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load or run for the page: its own style sheet and nothing else."""


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
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("title", f"{name}: lrn-deploy report"),
        el("style", Markup(CSS)),
    )
    when = (drawn or datetime.now(UTC)).isoformat(timespec="seconds")
    sections = {
        "tune": ("Choice", tuning(source.tune)),
        "latency": ("Speed", latency(source.times)),
        "layers": ("Time by layer", layer_times(source.times)),
        "parity": ("Parity", parity(source.parity)),
        "lrn": ("LRN layers", lrn_layers(source)),
        "probes": ("LRN alone", probes(source.parity)),
        "drift": ("Drift by layer", drift(source.parity)),
        "artifacts": ("Artifacts", artifacts(source)),
        "provenance": ("Provenance", provenance(source)),
    }
    links = [el("a", title, href=f"#{id_}") for id_, (title, there) in sections.items() if there]
    main = el(
        "main",
        el("h1", name),
        el("p", f"Weights: {weights.note or weights.kind}", class_="soft"),
        answers(source),
        network(source),
        warnings(source),
        el("nav", *links, aria_label="Sections"),
        *(there for _, there in sections.values()),
        el("footer", f"Drawn by lrn-deploy {__version__} on {when}."),
    )
    return f"<!DOCTYPE html>\n{el('html', head, el('body', main), lang='en')}\n"


def warnings(source: Source) -> Markup:
    """What the checks could not see, and why not to trust a time."""
    told: list[Child] = []
    preprocessing = source.manifest.preprocessing
    if preprocessing is not None and preprocessing.assumed:
        told.append(f"Preprocessing {preprocessing.assumption}.")
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

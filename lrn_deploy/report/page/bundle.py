"""Sections about the bundle itself: artifacts, LRN layers, provenance."""

from __future__ import annotations

from lrn_deploy.bundle import Artifact, FileRecord
from lrn_deploy.report.markup import Child, Markup, el, join, number, section, table
from lrn_deploy.report.source import Source


def artifacts(source: Source) -> Markup:
    """The artifacts: precision, target, size, digest, what built them."""
    manifest = source.manifest
    rows: list[tuple[Child, ...]] = [
        (
            join(name, el("span", " default", class_="on")) if name == manifest.default else name,
            artifact.precision,
            artifact.target,
            number(_size(artifact), f"{_size(artifact) / 1e6:.2f}"),
            el("code", artifact.sha256[:12], title=artifact.sha256),
            artifact.source or "-",
            ", ".join(f"{tool} {version}" for tool, version in artifact.built_by.items()) or "-",
        )
        for name, artifact in manifest.artifacts.items()
    ]
    titles = ("artifact", "precision", "target", "MB", "SHA-256", "made from", "built by")
    return section("Artifacts", table(titles, rows, right=(3,)), id_="artifacts")


def lrn_layers(source: Source) -> Markup:
    """Each LRN layer's parameters, its form in the graph, and how active the inputs made it."""
    layers, like = source.manifest.lrn_layers, source.manifest.lrn_like
    others = [
        el(
            "p",
            f"{layer.name} looks like one and stays as the network writes it: {layer.reason}.",
        )
        for layer in like
    ]
    if not layers:
        none = others or [el("p", "The network has none.")]
        return section("LRN layers", *none, id_="lrn")
    origins = {layer.described_origin for layer in layers}
    rows: list[tuple[Child, ...]] = []
    for layer in layers:
        notes = [layer.reason, layer.described_origin if len(origins) > 1 else ""]
        rows.append(
            (
                layer.name,
                number(layer.spec.size, str(layer.spec.size)),
                *(number(v, f"{v:g}") for v in (layer.spec.alpha, layer.spec.beta, layer.spec.k)),
                " x ".join(str(axis) for axis in layer.shape),
                join(layer.form, *(el("span", f" {note}", class_="on") for note in notes if note)),
            )
        )
    titles = ("layer", "size", "alpha", "beta", "k", "input", "in the graph")
    parts = [table(titles, rows, right=(1, 2, 3, 4)), *others]
    if len(origins) == 1:
        origin = origins.pop()
        those = "those " if origin.startswith("of ") else ""
        parts.insert(0, el("p", f"Their parameters are {those}{origin}.", class_="soft"))
    activity = source.parity.activity if source.parity else {}
    if any(activity.values()):
        names = list(dict.fromkeys(name for layers in activity.values() for name in layers))
        told: list[tuple[Child, ...]] = [
            (name, *(number(values.get(name)) for values in activity.values())) for name in names
        ]
        columns = tuple(range(1, len(activity) + 1))
        parts += [
            el("h3", "LRN activity"),
            el(
                "p",
                "alpha/n · Σx² over k, at the 90th percentile of the positions. From 1 on a layer "
                "acts; below 0.01 a wrong alpha or window would hardly show.",
                class_="soft",
            ),
            table(("layer", *activity), told, right=columns),
        ]
    return section("LRN layers", *parts, id_="lrn")


def provenance(source: Source) -> Markup:
    """Weights, versions, machine."""
    model = source.manifest.model
    weights = model.weights
    entries: list[tuple[str, Child]] = [
        ("network", f"{model.name}, from {model.factory}"),
        ("weights", weights.note or weights.kind),
    ]
    if weights.sha256:
        entries.append(("weights, SHA-256", el("code", weights.sha256)))
    preprocessing = source.manifest.preprocessing
    if preprocessing is not None:
        entries.append(("preprocessing", preprocessing.described))
    reports = (("checked", source.parity), ("timed", source.latency), ("tuned", source.tune))
    for what, report in reports:
        if report is None:
            continue
        entries += [
            (what, f"{report.created}, in {report.seconds:.3g} s"),
            (f"{what} on", ", ".join(f"{k} {v}" for k, v in report.machine.items())),
            (f"{what} with", ", ".join(f"{k} {v}" for k, v in report.versions.items())),
        ]
    if source.parity is not None:
        entries.append(("reference", source.parity.reference))
    if source.latency is not None:
        entries.append(("while timed", _conditions(source)))
    listed = [join(el("dt", name), el("dd", value)) for name, value in entries]
    return section("Provenance", el("dl", *listed), id_="provenance")


def _conditions(source: Source) -> str:
    latency = source.latency
    assert latency is not None
    seen = latency.conditions
    parts = [f"threads {latency.threads or 'as the runtime chose'}"]
    if seen.affinity:
        parts.append(f"cores {', '.join(str(core) for core in seen.affinity)}")
    if seen.clocks_mhz:
        parts.append(f"clocks {min(seen.clocks_mhz):.0f} to {max(seen.clocks_mhz):.0f} MHz")
    parts.append(f"governor {seen.governor}")
    if seen.load is not None and latency.load_after is not None:
        parts.append(f"load {seen.load:.2f} before, {latency.load_after:.2f} after")
    if latency.foreign_cores is not None:
        parts.append(f"other processes kept {latency.foreign_cores:.2f} cores busy")
    return "; ".join(parts)


def _size(artifact: Artifact) -> int:
    files: tuple[FileRecord, ...] = (artifact, *artifact.companions)
    return sum(file.size for file in files)

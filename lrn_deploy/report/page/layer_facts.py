"""What the reports know of each layer of the network, on each artifact and backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lrn_deploy.bundle import Manifest
from lrn_deploy.latency.schema import LatencyReport, Layers, LayerTime
from lrn_deploy.parity.activity import layer_labels
from lrn_deploy.parity.schema import Check, ParityReport, worst
from lrn_deploy.placement import MODEL
from lrn_deploy.report.source import Source

Place = tuple[str, str]
"""An artifact's name, and its backend and device."""

_NO_LAYERS = frozenset({"layout", "quantize"})
"""Kinds of what is timed and is no layer of the network."""
_OPERATORS = {
    "conv2d": "Conv",
    "relu": "Relu",
    "max_pool2d": "MaxPool",
    "avg_pool2d": "AvgPool",
    "linear": "Gemm",
    "view": "Reshape",
    "flatten": "Reshape",
    "softmax": "Softmax",
}
"""Operators by what torch calls the value that leaves them."""


@dataclass(frozen=True)
class LayerFacts:
    """One layer.

    Attributes:
        name: What the manifest and the reports call it.
        kind: Its operator; empty where nobody said.
        lrn: Whether it is an LRN layer.
        check: The worst comparison of it; None if it was not compared.
        time: Its time; None if it was not timed by itself.
    """

    name: str
    kind: str
    lrn: bool
    check: Check | None
    time: LayerTime | None


@dataclass(frozen=True)
class View:
    """The layers of the network as one artifact on one backend computes them.

    Attributes:
        artifact: The artifact's name; empty if no report knows any layer.
        backend: Backend and device.
        layers: In the order of the network.
        drift_of: Whether whole networks were compared layer by layer, or LRN layers alone.
        times: What the layers' times were taken from; None if they were not.
        beside: What was timed and is no layer: changes of layout, and what an artifact added.
        stale: Whether there are times, of what the artifact was before.
    """

    artifact: str
    backend: str
    layers: tuple[LayerFacts, ...]
    drift_of: Literal["layer", "probe", ""]
    times: Layers | None
    beside: tuple[LayerTime, ...]
    stale: bool = False

    @property
    def name(self) -> str:
        """Artifact and backend in words; empty without."""
        return f"{self.artifact} on {self.backend}" if self.artifact else ""


def views(source: Source) -> list[View]:
    """One for each place of which a report knows layers.

    What the bundle is run with comes first, unless neither its drift nor its time is known by
    layer; then those of which most is known. Without any such report there is one, of the layers
    that the manifest names; none if it names no layer either.
    """
    names = layer_names(source.manifest, source.parity, source.latency)
    if not names:
        return []
    places: dict[Place, None] = {}
    if source.parity is not None:
        checks = (check for check in source.parity.checks if check.kind in ("layer", "probe"))
        places |= dict.fromkeys((c.artifact, c.placement.where) for c in checks if c.metrics)
    if source.latency is not None:
        places |= dict.fromkeys((t.artifact, t.backend) for t in source.latency.layers)
    found = [_view(place, names, source) for place in places] or [_view(("", ""), names, source)]
    run = source.run_with
    run_at = (run.artifact, run.placement.where) if run else None

    def rank(view: View) -> tuple[bool, ...]:
        known = view.drift_of == "layer", view.times is not None
        run = (view.artifact, view.backend) == run_at and any(known)
        return (not run, not all(known), not any(known), view.artifact != MODEL)

    return sorted(found, key=rank)


def layer_names(
    manifest: Manifest, parity: ParityReport | None, latency: LatencyReport | None
) -> list[str]:
    """The network's layers in its order, as the manifest has them; else as the reports do.

    LRN layers that are no module of their own stand behind the layer that they take their input
    of, and one that runs several times is there each time.
    """
    names = [layer.module for layer in manifest.layers]
    if not names and parity is not None:
        found = (check.subject for check in parity.checks if check.kind == "layer")
        names = list(dict.fromkeys(name for name in found if name))
    if not names and latency is not None:
        timed = max((traced.layers for traced in latency.layers), key=len, default=())
        names = [layer.name for layer in timed if layer.kind not in _NO_LAYERS]
    labels = layer_labels([layer.name for layer in manifest.lrn_layers])
    makers = {layer.tensor: layer.module for layer in manifest.layers}
    for label, layer in zip(labels, manifest.lrn_layers, strict=True):
        maker = makers.get(layer.input)
        makers[layer.output] = label
        if label not in names:
            names.insert(names.index(maker) + 1 if maker in names else len(names), label)
    several = {layer.name for layer in manifest.lrn_layers} - set(labels)
    return [name for name in names if name not in several]


def _view(place: Place, names: Sequence[str], source: Source) -> View:
    artifact, where = place
    lrn = set(layer_labels([layer.name for layer in source.manifest.lrn_layers]))
    layers, probes = _checks(source.parity, place, "layer"), _checks(source.parity, place, "probe")
    drift_of: Literal["layer", "probe", ""] = "layer" if layers else "probe" if probes else ""
    checks = layers or probes
    traced = source.latency.layers if source.latency else ()
    stale = artifact in source.outdated
    times = None
    if not stale:
        times = next((t for t in traced if (t.artifact, t.backend) == place), None)
    timed = {layer.name: layer for layer in times.layers} if times else {}
    kinds = _kinds(source)
    facts = tuple(
        LayerFacts(
            name=name,
            kind="LRN" if name in lrn else kinds.get(name, ""),
            lrn=name in lrn,
            check=worst(checks[name]) if name in checks else None,
            time=timed.get(name),
        )
        for name in names
    )
    known = set(names)
    beside = tuple(part for name, part in timed.items() if name not in known)
    return View(artifact, where, facts, drift_of, times, beside, stale)


def _checks(report: ParityReport | None, place: Place, kind: str) -> dict[str, list[Check]]:
    """Comparisons that were run, by layer; those that are judged alone where there are any."""
    found: dict[str, list[Check]] = {}
    for check in report.checks if report else ():
        at = (check.artifact, check.placement.where)
        if check.kind == kind and at == place and check.verdict != "skipped":
            found.setdefault(check.subject, []).append(check)
    return {
        name: [check for check in checks if check.verdict != "unjudged"] or checks
        for name, checks in found.items()
    }


def _kinds(source: Source) -> dict[str, str]:
    """Operators by layer: as torch called the value, else as the first runtime told."""
    called = {
        layer.module: _OPERATORS.get(layer.tensor.rstrip("0123456789").rstrip("_"), "")
        for layer in source.manifest.layers
    }
    kinds = {module: kind for module, kind in called.items() if kind}
    for traced in source.latency.layers if source.latency else ():
        for timed in traced.layers:
            kinds.setdefault(timed.name, timed.kind)
    return kinds

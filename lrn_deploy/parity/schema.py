"""What ``reports/parity.json`` holds; every table of it is drawn from these models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lrn_deploy.circumstances import Record, Report
from lrn_deploy.parity.budget import Budget
from lrn_deploy.parity.metrics import Metrics
from lrn_deploy.placement import Placement

SCHEMA_VERSION = 1

Kind = Literal["reference", "outputs", "probe", "layer"]
Verdict = Literal["pass", "limited", "fail", "skipped", "unjudged"]

KIND_NAMES: dict[Kind, str] = {
    "reference": "PyTorch against the stored samples",
    "outputs": "outputs",
    "probe": "LRN alone",
    "layer": "layers",
}


class Check(Record):
    """One comparison.

    Attributes:
        kind: ``outputs`` of the whole network, one LRN layer's ``probe``, one ``layer`` of
            --layerwise, or the ``reference`` itself against what is stored.
        artifact: The artifact's name; empty for the reference.
        backend: Backend and device.
        subject: The output, or the layer.
        inputs: The set of inputs, or the amplitude of a probe.
        batch: Batch size of the runs; None for a probe.
        metrics: None if it could not be run.
        budget: What the metrics were held against.
        verdict: ``limited`` where the runtime's own kernel loses digits and the graph is right;
            ``skipped`` where it cannot run here; ``unjudged`` where the precision is not made for
            such inputs, and the metrics are only told.
        reason: Why it is not a plain pass.
    """

    kind: Kind
    artifact: str
    backend: str
    subject: str = ""
    inputs: str = ""
    batch: int | None = None
    metrics: Metrics | None = None
    budget: Budget | None = None
    verdict: Verdict
    reason: str = ""

    @property
    def placement(self) -> Placement:
        """Where it runs."""
        return Placement.read(self.artifact, self.backend)

    @property
    def name(self) -> str:
        """What to call the check, ``outputs on active-x316`` or ``LRN alone: net.2``."""
        what = KIND_NAMES[self.kind]
        if self.kind == "probe":
            return f"{what}: {self.subject}"
        if self.kind == "layer":
            return f"layer {self.subject} on {self.inputs}"
        return f"{what} on {self.inputs}" if self.inputs else what

    @property
    def group(self) -> str:
        """What kind of check it is, for tables that show the worst of each."""
        if self.kind == "outputs" and self.inputs:
            return self.inputs
        names: dict[Kind, str] = {"outputs": "outputs", "probe": "LRN alone", "layer": "layers"}
        return names.get(self.kind, "itself")

    @property
    def error(self) -> float | None:
        """The relative L2 error that is held against the budget; None if it did not run."""
        if self.metrics is None:
            return None
        each = self.budget is not None and self.budget.each_input
        return self.metrics.worst_relative_l2 if each else self.metrics.relative_l2

    @property
    def signal_error(self) -> float | None:
        """The error over signal; None if it did not run or is not judged."""
        judged = self.budget is not None and self.budget.error_over_signal is not None
        return self.metrics.error_over_signal if self.metrics and judged else None

    @property
    def severity(self) -> float:
        """For finding the worst of several checks: above 1 the budget is exceeded."""
        if self.metrics is None or self.budget is None:
            return {"fail": float("inf"), "skipped": -1.0, "unjudged": -1.0}.get(self.verdict, 0.0)
        used = self.budget.used(self.metrics)
        return float("inf") if used != used else used  # NaN is the worst of all


class Drift(Record):
    """Where an artifact first leaves its budget, layer by layer.

    Attributes:
        artifact: The artifact's name.
        backend: Backend and device.
        first: The first layer's check over budget; None if all layers keep it.
        compared: Number of layers compared.
        missing: Layers whose values the artifact's graph no longer has.
    """

    artifact: str
    backend: str
    first: Check | None
    compared: int
    missing: tuple[str, ...] = ()


class ParityReport(Report):
    """The answer of ``validate``.

    Attributes:
        weights: Where its weights came from.
        reference: What computed the outputs that everything is held against.
        verdict: ``pass`` only if no check failed and at least one artifact ran.
        caught_by: Names of the checks that failed, without repetition.
        artifacts: SHA-256 of each artifact as it was when it was checked.
        checks: All comparisons.
        drift: Answers of --layerwise.
        activity: For each set of inputs the activity of each LRN layer.
    """

    schema_version: int = SCHEMA_VERSION
    weights: str
    reference: str
    verdict: Literal["pass", "fail"]
    caught_by: tuple[str, ...] = ()
    artifacts: dict[str, str]
    checks: tuple[Check, ...]
    drift: tuple[Drift, ...] = ()
    activity: dict[str, dict[str, float]]


def caught_by(checks: Iterable[Check]) -> tuple[str, ...]:
    """Names of the checks that failed, each once, in order."""
    return tuple(dict.fromkeys(check.name for check in checks if check.verdict == "fail"))


def grouped(checks: Iterable[Check]) -> list[list[Check]]:
    """The checks of each artifact, backend and :attr:`Check.group`, in order."""
    groups: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.artifact, check.backend, check.group), []).append(check)
    return list(groups.values())


def worst(checks: Iterable[Check]) -> Check:
    """The check that used most of its budget; a failed one before all others."""
    return max(checks, key=lambda check: (check.verdict == "fail", check.severity))
